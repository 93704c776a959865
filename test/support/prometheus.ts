/** What a text in the format of Prometheus says. */
export interface Exposition {
  /** By series: the name with its labels as they stand in the text. */
  readonly values: ReadonlyMap<string, number>;
  readonly types: ReadonlyMap<string, string>;
}

const HELP = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\\n]|\\\\|\\n)*)$/;
const TYPE = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/;
const LABEL = /[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\\\|\\"|\\n)*"/.source;
const SAMPLE = new RegExp(
  `^([a-zA-Z_:][a-zA-Z0-9_:]*)(\\{${LABEL}(?:,${LABEL})*\\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|[+-]Inf|NaN)$`,
  's',
);

/**
 * Reads the text format of Prometheus (version 0.0.4), more strictly than Prometheus does: HELP and TYPE must stand before the
 * samples of each metric, which must stand together; no series may come twice; counters end in `_total`.
 */
export function parseExposition(text: string): Exposition {
  if (!text.endsWith('\n')) throw new Error('The last line has no end.');
  const values = new Map<string, number>();
  const types = new Map<string, string>();
  let present: string | undefined;
  const lines = text.slice(0, -1).split('\n');
  for (let i = 0; i < lines.length; i += 1) {
    const line = lines[i] as string;
    const help = HELP.exec(line);
    if (help !== null) {
      const type = TYPE.exec(lines[++i] ?? '');
      present = help[1] as string;
      if (type?.[1] !== present) throw new Error(`${present} has no type.`);
      if (types.has(present)) throw new Error(`${present} comes twice.`);
      if ((type[2] === 'counter') !== present.endsWith('_total')) throw new Error(`${present} is a ${type[2]}.`);
      types.set(present, type[2] as string);
      continue;
    }
    const sample = SAMPLE.exec(line);
    if (sample === null) throw new Error(`Not a sample: ${line}`);
    const [, name = '', labels = '', number = ''] = sample;
    const family = types.get(present ?? '') === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name;
    if (family !== present) throw new Error(`${name} stands behind ${present}.`);
    if (values.has(name + labels)) throw new Error(`${name}${labels} comes twice.`);
    const value = number.endsWith('Inf')
      ? (number.startsWith('-') ? -1 : 1) * Number.POSITIVE_INFINITY
      : Number(number);
    if (Number.isNaN(value)) throw new Error(`${number} is no number.`);
    values.set(name + labels, value);
  }
  return { values, types };
}

/** Returns a label's value as it must stand in the text. */
export function textOf(label: string): string {
  return `"${label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}
