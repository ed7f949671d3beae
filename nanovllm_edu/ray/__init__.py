"""Beyond one machine, through Ray: many engines, each whole in one actor. Extra: `[ray]`.

    from nanovllm_edu.ray.data import generate     rows of a Ray Dataset in, answers out
    from nanovllm_edu.ray.serve import openai_app  OpenAI's API as a Ray Serve application

Who starts processes, places them on machines and starts them anew is Ray; what is here only says
what one of them does. (`import ray` in these files is the library: imports are absolute.)

Read in this order: `ray/stage.py` and `ray/placement.py`, which need no Ray; `ray/data.py`,
`ray/serve.py`.
"""
