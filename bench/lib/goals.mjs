import { show, showRatio } from './numbers.mjs';

const OURS = 'agent-context-cache';

/**
 * Compares a result with its targets. A target is one of
 * - `{ ofLimit }`: the ratio to the limit, at most (times) or at least (share) this number;
 * - `{ metric, atMost }` or `{ metric, atLeast }`: an absolute bound;
 * - `{ ahead, of | traits | except }`: this many times better than the best of these rivals;
 * - `{ flat, from }`: at most this many times the value in the case `from`;
 * each with `text`, the target in words. Returns `{ text, shown, met }` for those that can be judged.
 */
export function judge(result, oneCase) {
  const ours = oneCase.candidates.find(({ name, ratio, metrics }) => name === OURS && (ratio ?? metrics) !== undefined);
  if (ours?.metrics === undefined) return [];
  return (oneCase.goals ?? result.goals).flatMap((goal) => {
    const verdict = verdictOn(goal, ours, oneCase, result);
    return verdict === undefined ? [] : [{ text: goal.text, ...verdict }];
  });
}

function verdictOn(goal, ours, oneCase, result) {
  if (goal.ofLimit !== undefined) return ofLimit(goal.ofLimit, ours, result);
  if (goal.ahead !== undefined) return ahead(goal, ours, oneCase, result);
  if (goal.flat !== undefined) return flat(goal, ours, result);
  return absolute(goal, ours, result);
}

function ofLimit(bound, { ratio }, { ratioStyle }) {
  if (ratio === undefined) return undefined;
  const met = ratioStyle === 'times' ? ratio.median <= bound : ratio.median >= bound;
  return { shown: showRatio(ratio.median, ratioStyle), met };
}

function absolute({ metric, atMost, atLeast }, ours, { metrics }) {
  const value = ours.metrics[metric]?.median;
  if (value === undefined) return undefined;
  const met = value <= (atMost ?? Number.POSITIVE_INFINITY) && value >= (atLeast ?? Number.NEGATIVE_INFINITY);
  return { shown: `${metrics[metric].what} ${show(value, metrics[metric].unit)}`.trim(), met };
}

function ahead({ ahead: factor, ...which }, ours, oneCase, { main, metrics }) {
  const best = bestRival(oneCase, { main, metrics }, which);
  if (best === undefined) return undefined;
  const times = timesBetter(ours.metrics[main].median, best.metrics[main].median, metrics[main].better);
  return { shown: `${showRatio(times, 'times')} ahead of ${best.name}`, met: times >= factor };
}

function flat({ flat: bound, from }, ours, { cases, main }) {
  const before = cases.find(({ name }) => name === from)?.candidates.find(({ name }) => name === OURS);
  if (before?.metrics === undefined) return undefined;
  const times = ours.metrics[main].median / before.metrics[main].median;
  return { shown: `${showRatio(times, 'times')} of "${from}"`, met: times <= bound };
}

function timesBetter(own, other, better) {
  return better === 'less' ? other / own : own / other;
}

/** Returns the fastest of the selected rivals: by name, by traits, or all but some. */
export function bestRival({ candidates }, { main, metrics }, { of, traits = [], except = [] } = {}) {
  const meant = candidates.filter(
    (each) =>
      each.role === 'rival' &&
      each.metrics !== undefined &&
      (of === undefined || of.includes(each.name)) &&
      !except.includes(each.name) &&
      traits.every((trait) => each.traits?.[trait]),
  );
  const { better } = metrics[main];
  const worse = (a, b) => timesBetter(a.metrics[main].median, b.metrics[main].median, better) - 1;
  return meant.sort((a, b) => -Math.sign(worse(a, b)))[0];
}
