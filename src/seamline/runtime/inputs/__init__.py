"""What enters a model besides video: pictures decoded and brought to size, arrays, sound, lines of JSON.

Nothing here knows nodes or streams. Video, cameras and addresses are sources of their own.
"""
