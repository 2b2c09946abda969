"""The `seamline` command, and `python -m seamline`: signals are answered before anything heavy is imported."""

from __future__ import annotations

import sys
from typing import NoReturn

from seamline.cli.ending import end_at_once, end_tidily, leave


def main() -> NoReturn:
    """Run the command line of this process and leave with its exit code."""
    end_at_once()
    try:
        from seamline.cli.main import prepare_streams, run

        prepare_streams()
        end_tidily()
        exit_code: object = run(sys.argv[1:])
        end_at_once()
    except KeyboardInterrupt:
        exit_code = 130
    except SystemExit as ended:
        exit_code = ended.code
    leave(exit_code if isinstance(exit_code, int) else 0)


if __name__ == "__main__":
    main()
