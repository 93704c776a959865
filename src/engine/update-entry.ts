import type { MaybePromise } from '../backends/base-context-cache.ts';
import type { Admission } from '../core/admission.ts';
import type { Clock } from '../core/clock.ts';
import type { Acknowledgement, WriteOptions } from '../core/command.ts';
import { VersionConflictError } from '../core/conflict.ts';
import type { Entry } from '../core/namespace-state.ts';
import { inheritedSubjects, readableValue } from '../core/opened.ts';
import { repeatedUpdate } from '../core/operations.ts';
import type { Request } from '../core/request.ts';
import { type SubjectDoor, whenKeyed } from '../core/sealed.ts';
import { optionsOfUpdate, resultOf, type UpdateResult } from '../core/update-result.ts';
import type { JsonValue } from '../core/value.ts';
import type { NamespaceRegistry } from '../storage/namespace-registry.ts';
import type { UpdateLog } from '../storage/update-log.ts';
import { andThen } from './reader.ts';

/** Maximum number of attempts of an `update` whose entry other writers keep changing. */
const MAX_TRIES = 1_000;

/** The parts of a writer that an update uses. */
interface UpdateParts {
  readonly readEntry: (key: string, namespace: string) => MaybePromise<Entry | undefined>;
  readonly admission: Admission;
  readonly clock: Pick<Clock, 'now'>;
  readonly supervisor: { readonly registry: Pick<NamespaceRegistry, 'summary'> };
  readonly log: Pick<UpdateLog, 'operations'>;
  readonly subjects: SubjectDoor;
  readonly execute: (request: Request) => Promise<Acknowledgement>;
  readonly whenDurable: (position: number) => Promise<void> | undefined;
}

interface Updating {
  readonly key: string;
  readonly change: (value: JsonValue | undefined) => unknown;
  readonly namespace: string;
  readonly options: WriteOptions | undefined;
}

/**
 * Reads, changes and writes a value. Starts again if another writer changed the entry meanwhile. The new value has the subjects of the
 * old one, unless the options name others.
 */
export function updateEntry(parts: UpdateParts, updating: Updating, tries = 1): MaybePromise<UpdateResult> {
  const { key, change, namespace, options } = updating;
  return andThen(parts.readEntry(key, namespace), (entry) => {
    const { admission, clock, supervisor, log, subjects } = parts;
    const operationId = options?.operationId;
    const value = readableValue(entry);
    const known = repeatedUpdate(log.operations, { operationId, namespace, key, at: clock.now() });
    if (known !== undefined) return andThen(parts.whenDurable(known.position), () => ({ ...known, value, entry }));
    const condition = optionsOfUpdate(options, entry, namespace, key);
    return andThen(change(value), (next) => {
      if (next === undefined) {
        const { version = 0, position = 0 } = supervisor.registry.summary(namespace) ?? {};
        return { version, position, changed: false, value, entry };
      }
      const given = inheritedSubjects(condition, entry, next);
      const written = whenKeyed(async () => {
        const request = admission.set(clock.now(), namespace, key, next, given);
        return { request, acknowledgement: await parts.execute(request) };
      });
      return written.then(
        ({ acknowledgement, request }) => resultOf(acknowledgement, request, entry, subjects),
        (error) => {
          const again = error instanceof VersionConflictError && tries < MAX_TRIES && options?.ifVersion === undefined;
          if (!again) throw error;
          return updateEntry(parts, updating, tries + 1);
        },
      );
    });
  });
}
