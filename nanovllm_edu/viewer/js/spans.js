// When the phases of a step took place, worked out from their lengths and from when the step was
// committed. Steps may overlap: then the next one is planned and launched while this one is on the
// device. The same as introspect/spans.py. All times are microseconds since the recording began.

// { launch: [[phase, begin, end], ...], flight: [begin, end], commit: [begin, end] }
export function spansOf(replay, k) {
  const own = durationsOf(replay, k), { at } = replay.entry(k);
  const commitBegin = at - own.commit;
  let begin = launchBegin(replay, k, own);
  const launch = own.launch.map(([phase, time]) => [phase, begin, (begin += time)]);
  return { launch, flight: [begin, Math.max(begin, commitBegin)], commit: [commitBegin, at] };
}

// Steps that share a stretch of time with step k: itself, those before it that were not committed
// when it was planned, and those that were planned before it was committed.
export function overlapping(replay, k) {
  const { plannedBy } = replay, first = plannedBy[k];
  const last = k + (replay.entry(k).in_flight ?? 0);
  const steps = [];
  for (let step = first; step <= Math.min(last, replay.numSteps - 1); step++) steps.push(step);
  return steps;
}

function launchBegin(replay, k, own) {
  const by = replay.plannedBy[k];
  const isAlone = by === k && !(replay.entry(k).in_flight ?? 0);
  if (isAlone) return replay.entry(k).at - own.commit - own.total; // right before its commit
  // Everything planned between two commits follows the first of them at once.
  let begin = by > 0 ? replay.entry(by - 1).at : replay.entry(0).at - firstStretch(replay);
  for (let step = k - 1; step >= 0 && replay.plannedBy[step] === by; step--) {
    begin += durationsOf(replay, step).total;
  }
  return begin;
}

// Before the first commit: all launches that came before it, one after the other.
function firstStretch(replay) {
  let sum = durationsOf(replay, 0).commit;
  for (let step = 0; replay.plannedBy[step] === 0; step++) sum += durationsOf(replay, step).total;
  return sum;
}

function durationsOf(replay, k) {
  const times = replay.entry(k).times, launch = [];
  let commit = 0, total = 0;
  replay.phases.forEach((phase, i) => {
    if (times[i] === null) return;
    if (phase === "commit") commit = times[i];
    else {
      launch.push([phase, times[i]]);
      total += times[i];
    }
  });
  return { launch, commit, total };
}
