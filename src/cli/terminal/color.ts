import { styleText } from 'node:util';

/** Style of a text on a terminal. */
export type Style = Parameters<typeof styleText>[0];

/** Colors a text, or leaves it plain. */
export type Paint = (style: Style, text: string) => string;

/**
 * Returns the painter of a stream. `--no-color` decides, then `NO_COLOR`, `FORCE_COLOR`, and the capability of its
 * terminal. An empty variable counts as not set.
 */
export function paintFor(
  stream: { isTTY?: boolean; hasColors?: (env: object) => boolean },
  asked: boolean | undefined,
): Paint {
  // Node only tests that NO_COLOR exists, so drop it: an empty value must not disable colors.
  const { NO_COLOR, ...env } = process.env;
  const colors = asked ?? fromEnvironment() ?? (stream.isTTY === true && stream.hasColors?.(env) === true);
  return colors ? (style, text) => styleText(style, text, { validateStream: false }) : (_, text) => text;
}

function fromEnvironment(): boolean | undefined {
  const { NO_COLOR, FORCE_COLOR } = process.env;
  if (NO_COLOR) return false;
  return FORCE_COLOR ? FORCE_COLOR !== '0' && FORCE_COLOR !== 'false' : undefined;
}
