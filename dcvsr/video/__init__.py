"""Reading and writing of video files and folders of frames."""
