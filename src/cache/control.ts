import type { AgentContextCache } from '../agent-context-cache.ts';
import type { Composition } from './composition.ts';
import { isDataCommand, parseCommand } from '../core/admission.ts';
import type { ContextCommand, ControlCommand, QueryCommand } from '../core/command.ts';
import { checkName, DEFAULT_NAMESPACE } from '../core/names.ts';
import type { Writer } from './writer.ts';

/** Carries out a command and answers it; the same as the method that bears its name. */
export async function answer(
  cache: AgentContextCache,
  parts: Composition,
  writer: Writer,
  candidate: ContextCommand,
): Promise<unknown> {
  const command = parseCommand(candidate);
  if (isDataCommand(command)) return writer.execute(parts.admission.request(parts.clock.now(), command), true);
  return answerQuery(cache, command) ?? answerControl(cache, parts, command as ControlCommand);
}

function answerQuery(cache: AgentContextCache, command: QueryCommand | ControlCommand): Promise<unknown> | undefined {
  switch (command.type) {
    case 'context.get':
      return Promise.resolve(cache.get(command.key, command.namespace ?? DEFAULT_NAMESPACE));
    case 'context.has':
      return Promise.resolve(cache.has(command.key, command.namespace ?? DEFAULT_NAMESPACE));
    case 'context.entry':
      return Promise.resolve(cache.entry(command.key, command.namespace ?? DEFAULT_NAMESPACE));
    case 'context.keys':
      return Promise.resolve(cache.listKeys(command.namespace ?? DEFAULT_NAMESPACE));
    case 'context.namespaces':
      return Promise.resolve(cache.listNamespaces());
    default:
      return undefined;
  }
}

async function answerControl(cache: AgentContextCache, parts: Composition, command: ControlCommand): Promise<unknown> {
  switch (command.type) {
    case 'topics.set':
      await cache.setTopicsList(command.topics);
      return cache.getTopicsList();
    case 'topics.add':
      await cache.addTopic(command.topic);
      return cache.getTopicsList();
    case 'topics.remove':
      await cache.removeTopic(command.topic);
      return cache.getTopicsList();
    case 'topics.list':
      return cache.getTopicsList();
    case 'context.backup':
      return cache.backup();
    case 'backup.enable':
      await cache.enableBackup(command.settings);
      return cache.getBackupSettings();
    case 'backup.disable':
      await cache.disableBackup();
      return cache.getBackupSettings();
    case 'backup.set':
      await cache.setBackupSettings(command.settings);
      return cache.getBackupSettings();
    case 'backup.status':
      return cache.getBackupStatus();
    case 'namespace.passivate':
      return passivate(parts, command.namespace);
    case 'namespace.restart':
      checkName('namespace', command.namespace);
      return parts.supervisor.restart(command.namespace);
    case 'cache.flush':
      return cache.flush();
    case 'cache.health':
      return cache.health();
  }
}

/** Whether the namespace is out of memory now. */
async function passivate(parts: Composition, namespace: string): Promise<boolean> {
  checkName('namespace', namespace);
  if (!parts.registry.has(namespace)) return false;
  if (parts.registry.stateInMemory(namespace) === undefined) return true;
  await parts.followers.get('checkpointer')?.caughtUp(AbortSignal.timeout(30_000));
  const record = parts.registry.find(namespace);
  return record !== undefined && parts.supervisor.passivateOne(record);
}
