import { basisOf, storedBasis } from '../basis.ts';
import type { Meta } from '../meta.ts';
import type { Origin } from '../origin.ts';
import { reader } from './codec.ts';
import type { MessageWriter } from './message-writer.ts';

/** An update or an entry, as far as this codec writes it. */
type Stamped = Pick<Origin, 'agent'> & Partial<StoredOrigin>;

/** An origin, and the hash of the command of an update. */
export interface StoredOrigin extends Origin {
  readonly commandHash?: number | undefined;
}

/**
 * Writes who wrote an update or an entry, and why. An agent alone is its name or nil, so what is not used takes no bytes. With
 * more it is an array: agent or nil, `meta` or nil, the operation id if there is one, and the hash of its command if there is one.
 * With a basis the array has these four, nil for what is missing, and the basis.
 */
export function writeOrigin(to: MessageWriter, { agent, meta, operationId, commandHash, basis }: Stamped): void {
  if (basis !== undefined) {
    to.array(5);
    to.value(agent);
    to.value(meta);
    to.value(operationId);
    to.value(commandHash);
    to.value(storedBasis(basis));
    return;
  }
  if (meta === undefined && operationId === undefined) {
    to.value(agent);
    return;
  }
  to.array(operationId === undefined ? 2 : commandHash === undefined ? 3 : 4);
  to.value(agent);
  to.value(meta);
  if (operationId === undefined) return;
  to.text(operationId);
  if (commandHash !== undefined) to.number(commandHash);
}

/** Reads an origin that is more than an agent. Reads nothing and returns `undefined` if an agent or nil comes next. */
export function readWholeOrigin(): StoredOrigin | undefined {
  if (!reader.isAtArray) return undefined;
  const fields = reader.array();
  if (fields < 2 || fields > 5) throw new RangeError('An origin has an unexpected number of fields');
  const agent = reader.textOrNull();
  const meta = (reader.value(true) ?? undefined) as Meta | undefined;
  if (fields === 5) {
    const operationId = reader.textOrNull() ?? undefined;
    const commandHash = reader.numberOrNull() ?? undefined;
    return { agent, meta, operationId, commandHash, basis: basisOf(reader.value(true)) };
  }
  const operationId = fields > 2 ? reader.text() : undefined;
  return { agent, meta, operationId, commandHash: fields > 3 ? reader.number() : undefined };
}
