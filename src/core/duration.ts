import ms, { type StringValue } from 'ms';

/** The milliseconds of a number of milliseconds or of a string such as `'10s'`; `undefined` if it is neither. */
export function toMilliseconds(duration: unknown): number | undefined {
  const isText = typeof duration === 'string' && duration.length > 0 && duration.length <= 100;
  const parsed = isText ? ms(duration as StringValue) : duration;
  return typeof parsed === 'number' && Number.isFinite(parsed) ? parsed : undefined;
}
