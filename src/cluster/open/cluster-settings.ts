import { randomUUID } from 'node:crypto';
import { untilAborted } from '../../core/deadline.ts';
import { ContextCacheError, type ErrorCode, toError } from '../../core/errors.ts';
import type { Grant } from '../../core/grants.ts';
import type { JsonValue } from '../../core/value.ts';
import { GRANT, GRANTS } from '../../engine/access.ts';
import type { Engine } from '../../engine/engine.ts';
import type { ClusterNode } from '../node.ts';

/** Start of the name of a setting that holds a topic. */
const TOPIC = 'topic/';
const BACKUP = 'backup';
/** The snapshot that a node has asked for last. */
const ASKED = 'snapshot/asked';
/** The last snapshot that was asked for and taken. */
const TAKEN = 'snapshot/taken';

type Snapshot = Awaited<ReturnType<NonNullable<Engine['backup']>['backupNow']>>;

/** Outcome of a snapshot that was asked for, as the cluster keeps it. */
type Taken =
  | { readonly id: string; readonly snapshot: Snapshot }
  | { readonly id: string; readonly code: ErrorCode; readonly message: string };

/** The settings that all nodes of a cluster share: grants, topics and backup. They change by commands of the stream. */
export class ClusterSettings {
  readonly #node: ClusterNode;
  readonly #parts: Engine;
  /** Called when a setting has changed. */
  readonly #changed: () => void;
  #seen = 0;
  #taking: string | undefined;

  constructor(node: ClusterNode, parts: Engine, changed: () => void) {
    this.#node = node;
    this.#parts = parts;
    this.#changed = changed;
    node.onApplied(() => this.#look());
  }

  /** Applies the settings that the node has joined with. */
  start(): void {
    this.#apply();
  }

  /** Changes a setting on all nodes; `null` removes it. Resolves once it is in force here. */
  set(name: string, value: JsonValue): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#node.submit({ type: 'config', name, value }, (outcome) => {
        if (outcome instanceof Error) reject(outcome);
        else resolve();
      });
    }).then(() => this.#look());
  }

  /** Id of the snapshot that a node has asked for and no node has taken; `undefined`: none. */
  get askedSnapshot(): string | undefined {
    const { config } = this.#node.machine;
    const asked = config.get(ASKED) as string | undefined;
    return asked === (config.get(TAKEN) as Taken | undefined)?.id ? undefined : asked;
  }

  /** Asks the node that holds the lease for a snapshot. */
  async askForSnapshot(signal: AbortSignal | undefined): Promise<Snapshot> {
    signal?.throwIfAborted();
    const id = this.askedSnapshot ?? randomUUID();
    if (this.askedSnapshot === undefined) await this.set(ASKED, id);
    let stop = () => {};
    const taken = new Promise<Snapshot>((resolve, reject) => {
      const look = () => {
        const { failure, machine } = this.#node;
        const outcome = machine.config.get(TAKEN) as unknown as Taken | undefined;
        if (failure !== undefined) reject(failure);
        else if (this.#node.status === 'closed') reject(new ContextCacheError('CLOSED', 'The cache is shut down.'));
        else if (outcome?.id !== id) return;
        else if ('snapshot' in outcome) resolve(outcome.snapshot);
        else reject(new ContextCacheError(outcome.code, outcome.message));
      };
      stop = this.#node.onApplied(look);
      look();
    });
    return untilAborted(taken, signal).finally(() => stop());
  }

  /** Takes the snapshot that was asked for, once, and tells all nodes the outcome. */
  take(id: string, backup: () => Promise<Snapshot>): void {
    if (this.#taking === id) return;
    this.#taking = id;
    const told = async () => {
      const taken = await backup().then(
        (snapshot) => ({ id, snapshot }),
        (thrown) => refusedOf(id, toError(thrown)),
      );
      await this.set(TAKEN, taken as unknown as JsonValue);
    };
    told().catch(() => {
      // Another look takes it again.
      this.#taking = undefined;
    });
  }

  #look(): void {
    if (this.#node.machine.configVersion === this.#seen) return;
    this.#apply();
    this.#changed();
  }

  #apply(): void {
    const { config, configVersion } = this.#node.machine;
    this.#seen = configVersion;
    const topics = Array.from(config).flatMap(([name, since]) =>
      name.startsWith(TOPIC) ? [{ topic: name.slice(TOPIC.length), since: since as number }] : [],
    );
    const { topics: list, backup } = this.#parts;
    if (list.replaceWith(topics)) this.#parts.topicsChanged().catch(() => undefined);
    const grants = Array.from(config).flatMap(([name, grant]) =>
      name.startsWith(GRANT) ? [grant as unknown as Grant] : [],
    );
    if (config.has(GRANTS)) this.#parts.access.adopt(grants, config.get(GRANTS) !== false);
    const stored = config.get(BACKUP) as { enabled: boolean; settings: object } | undefined;
    if (stored === undefined || backup === undefined) return;
    backup.setSettings(stored.settings);
    if (stored.enabled) backup.enable();
    else backup.disable();
  }
}

function refusedOf(id: string, error: Error): Taken {
  const code = error instanceof ContextCacheError ? error.code : 'BACKEND_FAILED';
  return { id, code, message: error.message };
}
