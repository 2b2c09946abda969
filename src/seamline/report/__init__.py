"""Reports: documents of text, tables and figures, and how they are drawn and written. Knows no command and no run.

document.py   a document as values
style.py      colours and a figure to draw into; needs matplotlib, the extra `report`
bars.py, lines.py, points.py      the figures that people expect
html.py, pdf.py, csv_files.py     a document in one self-contained page, in a PDF, and its numbers
"""
