"""`python -m nanovllm_edu` is the command `nanovllm-edu`. Read next: `cli/`."""

import sys

from nanovllm_edu.cli import main

sys.exit(main())
