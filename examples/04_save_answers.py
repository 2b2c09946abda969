"""What a network sees in a video, printed and saved: JSON lines, and the video with the answers drawn in.

    python examples/04_save_answers.py [MODEL.onnx] [VIDEO]

The head (labels, boxes, regions) follows from the model's file; docs/answers.md has them, and all places to save to.
"""

import sys
from importlib.resources import files

import seamline


def main(model: str, video: str | None = None) -> None:
    video = video or str(files("seamline.data") / "bigbuckbunny.mp4")
    with seamline.connect() as cluster:
        stream = cluster.stream(model)
        source = seamline.open_source(video)
        places = ["results.jsonl", "seen.mp4"]
        with seamline.answers(stream, source, save=places, top=2, live=False, n_frames=20) as answers:
            print(answers.head)
            for answered in answers:
                print(f"{answered.stamp.at_s:.2f} s: {answered.answer}")
        for figures in answers.figures():
            print(f"{figures.name}: {figures.written} answers")


if __name__ == "__main__":
    main(*sys.argv[1:])
