import { systemClock } from '../../index.ts';
import { connectNats, parseNatsAddress } from '../../nats.ts';
import { type CheckedServer, type Finding, inTime, isOlder, unreachable } from './finding.ts';

/** Oldest server that this package is tested with. */
const OLDEST = [2, 9];
const TIMEOUT_MS = 3_000;

/** Checks that NATS answers, its version, and whether it has JetStream. */
export async function checkNats(server: CheckedServer): Promise<Finding[]> {
  let shown = 'NATS';
  try {
    const address = parseNatsAddress(server.url);
    shown = address.shown;
    const request = { address, settings: {}, name: 'context-cache doctor', timeoutMs: TIMEOUT_MS };
    const connection = await connectNats({ ...request, clock: systemClock, signals: [] });
    // Imported first, so that the time limit covers only the server.
    const { jetstreamManager } = await import('@nats-io/jetstream');
    try {
      const { version = 'unknown', jetstream = false } = connection.info ?? {};
      return [judge(shown, version, jetstream ? await inTime(jetStreamOf(connection, jetstreamManager)) : 'off')];
    } finally {
      await connection.close();
    }
  } catch (error) {
    return [unreachable('nats', error, shown, server)];
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
    return 'not permitted for this user';
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
  const remedy = 'Broadcasting works. For streams that store messages, start it with JetStream: nats-server -js.';
  return { check: 'nats', status: 'ok', message, remedy };
}
