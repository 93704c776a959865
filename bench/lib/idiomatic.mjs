import { assign, createActor, sendTo, setup } from 'xstate';

/**
 * A supervisor and namespaces in the style of XState's manual: a machine that spawns a machine for each namespace and forwards
 * events by `sendTo`. The entries are a Map that is changed in place, which is faster than copying it for each write.
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
