import { systemClock } from '../../index.ts';
import { connectNats, parseNatsAddress } from '../../nats.ts';
import { type AskedServer, type Finding, inTime, isOlder, notThere } from './finding.ts';

/** Of the servers that this is tested with, the oldest one. */
const OLDEST = [2, 9];
const TIMEOUT_MS = 3_000;

/** Whether NATS is there, which one it is, and whether it has JetStream. */
export async function lookAtNats(server: AskedServer): Promise<Finding[]> {
  let shown = 'NATS';
  try {
    const address = parseNatsAddress(server.url);
    shown = address.shown;
    const request = { address, settings: {}, name: 'context-cache doctor', timeoutMs: TIMEOUT_MS };
    const connection = await connectNats({ ...request, clock: systemClock, signals: [] });
    // Only the server is to answer in time.
    const { jetstreamManager } = await import('@nats-io/jetstream');
    try {
      const { version = 'unknown', jetstream = false } = connection.info ?? {};
      return [judge(shown, version, jetstream ? await inTime(jetStreamOf(connection, jetstreamManager)) : 'off')];
    } finally {
      await connection.close();
    }
  } catch (error) {
    return [notThere('nats', error, shown, server)];
  }
}

type Connection = Awaited<ReturnType<typeof connectNats>>;
type JetStreamManagerOf = typeof import('@nats-io/jetstream').jetstreamManager;

async function jetStreamOf(connection: Connection, jetstreamManager: JetStreamManagerOf): Promise<string> {
  try {
    const manager = await jetstreamManager(connection, { timeout: TIMEOUT_MS });
    const { streams } = await manager.getAccountInfo();
    return `on, ${streams} ${streams === 1 ? 'stream' : 'streams'}`;
  } catch {
    return 'not for this user';
  }
}

function judge(shown: string, version: string, jetStream: string): Finding {
  const message = `${shown}: nats-server ${version}, JetStream ${jetStream}`;
  if (isOlder(version, OLDEST)) {
    return {
      check: 'nats',
      status: 'warning',
      message,
      remedy: `Use ${OLDEST.join('.')} or newer: older ones are not tested.`,
    };
  }
  if (jetStream.startsWith('on')) return { check: 'nats', status: 'ok', message };
  const remedy = 'Fine for broadcasting. For streams that keep messages start it with JetStream: nats-server -js.';
  return { check: 'nats', status: 'ok', message, remedy };
}
