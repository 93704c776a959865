import type { Meta, Origin } from '../origin.ts';
import { reader } from './codec.ts';
import type { MessageWriter } from './message-writer.ts';

/** An update or an entry, as far as this codec writes it. */
type Stamped = Pick<Origin, 'agent'> & Partial<Origin>;

/**
 * Writes who wrote an update or an entry, and why. An agent alone is its name or nil, so what is not used takes no bytes. With
 * more it is an array: agent or nil, `meta` or nil, and the operation id if there is one.
 */
export function writeOrigin(to: MessageWriter, { agent, meta, operationId }: Stamped): void {
  if (meta === undefined && operationId === undefined) {
    to.value(agent);
    return;
  }
  to.array(operationId === undefined ? 2 : 3);
  to.value(agent);
  to.value(meta);
  if (operationId !== undefined) to.text(operationId);
}

/** Reads an origin that is more than an agent. Reads nothing and returns `undefined` if an agent or nil comes next. */
export function readWholeOrigin(): Origin | undefined {
  if (!reader.isAtArray) return undefined;
  const fields = reader.array();
  if (fields !== 2 && fields !== 3) throw new RangeError('An origin has an unexpected number of fields');
  const agent = reader.textOrNull();
  const meta = (reader.value(true) ?? undefined) as Meta | undefined;
  return { agent, meta, operationId: fields === 3 ? reader.text() : undefined };
}
