import { assign, createActor, sendTo, setup } from 'xstate';

/**
 * A supervisor and namespaces as XState's manual would have them: a machine that spawns a machine for each namespace
 * and passes events on by `sendTo`. The entries are a Map that is changed in place, which is kinder to it than a copy
 * of all of them for each write.
 */
export function idiomaticStore() {
  const namespaceMachine = setup({
    actions: {
      set: assign(({ context, event }) => {
        context.entries.set(event.key, event.value);
        return context;
      }),
    },
  }).createMachine({
    context: () => ({ entries: new Map() }),
    initial: 'ready',
    states: { ready: { on: { 'context.set': { actions: 'set' } } } },
  });
  const supervisorMachine = setup({
    actors: { namespace: namespaceMachine },
    guards: { isNew: ({ context, event }) => context.namespaces[event.namespace] === undefined },
  }).createMachine({
    context: { namespaces: {} },
    on: {
      'context.set': [
        {
          guard: 'isNew',
          actions: [
            assign(({ context, event, spawn }) => ({
              namespaces: { ...context.namespaces, [event.namespace]: spawn('namespace', { id: event.namespace }) },
            })),
            sendTo(
              ({ context, event }) => context.namespaces[event.namespace],
              ({ event }) => event,
            ),
          ],
        },
        {
          actions: sendTo(
            ({ context, event }) => context.namespaces[event.namespace],
            ({ event }) => event,
          ),
        },
      ],
    },
  });
  const supervisor = createActor(supervisorMachine).start();
  return {
    set: (namespace, key, value) => supervisor.send({ type: 'context.set', namespace, key, value }),
    get: (namespace, key) =>
      supervisor.getSnapshot().context.namespaces[namespace]?.getSnapshot().context.entries.get(key),
    close: () => supervisor.stop(),
  };
}
