import { toError } from '../../core/errors.ts';
import type { Grant } from '../../core/grants.ts';
import type { JsonValue } from '../../core/value.ts';
import { GRANT, GRANTS } from '../../engine/access.ts';
import type { Engine } from '../../engine/engine.ts';
import type { ClusterNode } from '../node.ts';
import { SnapshotRequests } from './snapshot-requests.ts';

/** Start of the name of a setting that holds a topic. */
const TOPIC = 'topic/';
const BACKUP = 'backup';

/** The settings that all nodes of a cluster share: grants, topics and backup. They change by commands of the stream. */
export class ClusterSettings {
  readonly snapshots: SnapshotRequests;
  readonly #node: ClusterNode;
  readonly #parts: Engine;
  /** Called when a setting has changed. */
  readonly #changed: () => void;
  #seen = 0;

  constructor(node: ClusterNode, parts: Engine, changed: () => void) {
    this.#node = node;
    this.#parts = parts;
    this.#changed = changed;
    this.snapshots = new SnapshotRequests(node, (name, value) => this.set(name, value));
    node.onApplied(() => this.#look());
  }

  /**
   * Applies the settings that the node has joined with.
   *
   * @throws {ContextCacheError} `INVALID_OPTION` for settings that this version refuses: a node does not start without grants.
   */
  start(): void {
    this.#apply((error) => {
      throw error;
    });
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

  #look(): void {
    if (this.#node.machine.configVersion === this.#seen) return;
    // A setting that this version refuses keeps neither the others nor the message from being applied.
    this.#apply((error) => this.#report(error));
    this.#changed();
  }

  #apply(failed: (error: Error) => void): void {
    this.#seen = this.#node.machine.configVersion;
    for (const adopt of [() => this.#adoptGrants(), () => this.#adoptTopics(), () => this.#adoptBackup()]) {
      try {
        adopt();
      } catch (error) {
        failed(toError(error));
      }
    }
  }

  #adoptGrants(): void {
    const { config } = this.#node.machine;
    const grants = Array.from(config).flatMap(([name, grant]) =>
      name.startsWith(GRANT) ? [grant as unknown as Grant] : [],
    );
    if (config.has(GRANTS)) this.#parts.access.adopt(grants, config.get(GRANTS) !== false);
  }

  #adoptTopics(): void {
    const { topics } = this.#parts;
    const stored = Array.from(this.#node.machine.config).flatMap(([name, since]) =>
      name.startsWith(TOPIC) ? [{ topic: name.slice(TOPIC.length), since: since as number }] : [],
    );
    if (topics.replaceWith(stored)) this.#parts.topicsChanged().catch((error) => this.#report(toError(error)));
  }

  #adoptBackup(): void {
    const { backup } = this.#parts;
    const stored = this.#node.machine.config.get(BACKUP) as { enabled: boolean; settings: object } | undefined;
    if (stored === undefined || backup === undefined) return;
    backup.setSettings(stored.settings);
    if (stored.enabled) backup.enable();
    else backup.disable();
  }

  #report(error: Error): void {
    this.#parts.report(error, { source: 'cluster' });
  }
}
