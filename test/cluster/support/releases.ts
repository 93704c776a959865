import { describe, it } from 'vitest';
import { type NatsLine, type NatsRelease, natsRelease } from '../../support/nats-release.ts';

type Found = Extract<NatsRelease, { readonly program: string }>;

/** Describes tests on each of the releases of nats-server. Skips them with the reason if a release is missing. */
export function describeOn(lines: readonly NatsLine[], title: string, tests: (release: Found) => void): void {
  for (const line of lines) {
    describe(`${title} on nats-server ${line}`, () => {
      const release = natsRelease(line);
      if ('missing' in release) it.skip(release.missing);
      else tests(release);
    });
  }
}
