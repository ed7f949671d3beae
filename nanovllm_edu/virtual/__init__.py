"""A clock that can be trusted: real decisions, on a device that takes the time and does no work.

    recording -> fit -> Calibration -> VirtualRunner -> engine -> serve(server, arrivals)

What an engine decides costs microseconds; what a device computes costs milliseconds. So leave out
the second and count its time instead: hours of traffic pass in seconds, on any laptop. How much
time is not guessed: it is fitted to a recording of the real device.

Read next: `work.py`, `calibration.py`, `fit.py`, `runner.py`, `serving.py`.
"""
