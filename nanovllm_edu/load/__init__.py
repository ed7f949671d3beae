"""An honest load generator for any server that speaks OpenAI's API. Extra: `[serve]`.

    nanovllm-edu load --rate 8 --seconds 30            on the command line
    results = asyncio.run(open_loop(target, jobs))     in a program

It knows nothing of our engine and imports no torch. Requests arrive when their users want, whether
the server keeps up or not (an *open loop*), and each is timed from that moment.

Read in this order: `arrivals.py`, `answer.py`, `client.py`, `loops.py`, `report.py`, `sweep.py`,
`page.py`.
"""
