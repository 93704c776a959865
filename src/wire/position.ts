/** A position or an instant. */
export type PositionOrDate = number | Date;

const POSITION = /^\d{1,15}$/;
const TIME = /^(\d{4}|[+-]\d{6})-\d{2}/;

/** Parses a position (digits) or an ISO time; `undefined` if the text is neither. */
export function parsePosition(text: string): PositionOrDate | undefined {
  if (POSITION.test(text)) return Number(text);
  const time = new Date(text);
  return TIME.test(text) && !Number.isNaN(time.getTime()) ? time : undefined;
}
