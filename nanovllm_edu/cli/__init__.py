"""The command `nanovllm-edu`: what an engine does, in a terminal.

    main.py         the commands, their options, and how errors end
    arguments.py    options -> `EngineConfig` fields and `SamplingParams`
    generate.py chat.py info.py     text in, text out; what was chosen at start
    serve.py load.py                a server, and users for one
    runner.py                       a model for an engine that is elsewhere
    steps.py demo.py                the engine step by step; the engine short of memory
    step_view.py pool_view.py       a step, and the pool of blocks, drawn with rich

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from nanovllm_edu.cli.main import main as main
