/** A position of the log, or an instant. */
export type PositionOrDate = number | Date;

const POSITION = /^\d{1,15}$/;
const TIME = /^(\d{4}|[+-]\d{6})-\d{2}/;

/** What a text means: a position where it is a number, else an ISO time; `undefined` where it is neither. */
export function parsePosition(text: string): PositionOrDate | undefined {
  if (POSITION.test(text)) return Number(text);
  const time = new Date(text);
  return TIME.test(text) && !Number.isNaN(time.getTime()) ? time : undefined;
}

/** The text that {@link parsePosition} reads. */
export function positionText(at: PositionOrDate): string {
  return typeof at === 'number' ? String(at) : at.toISOString();
}
