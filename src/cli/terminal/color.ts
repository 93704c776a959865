import { styleText } from 'node:util';

/** How a text looks on a terminal. */
export type Style = Parameters<typeof styleText>[0];

/** Puts colours on texts, or leaves them as they are. */
export type Paint = (style: Style, text: string) => string;

/**
 * What colours a stream gets: those of `--no-color`, else of `NO_COLOR` and `FORCE_COLOR`, else those that its terminal
 * has. An empty variable says nothing.
 */
export function paintFor(
  stream: { isTTY?: boolean; hasColors?: (env: object) => boolean },
  asked: boolean | undefined,
): Paint {
  // Of NO_COLOR Node asks only whether it is there.
  const { NO_COLOR, ...env } = process.env;
  const colours = asked ?? fromEnvironment() ?? (stream.isTTY === true && stream.hasColors?.(env) === true);
  return colours ? (style, text) => styleText(style, text, { validateStream: false }) : (_, text) => text;
}

function fromEnvironment(): boolean | undefined {
  const { NO_COLOR, FORCE_COLOR } = process.env;
  if (NO_COLOR) return false;
  return FORCE_COLOR ? FORCE_COLOR !== '0' && FORCE_COLOR !== 'false' : undefined;
}
