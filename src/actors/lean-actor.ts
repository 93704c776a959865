import {
  Actor,
  type ActorOptions,
  type AnyActorLogic,
  type AnyMachineSnapshot,
  type EmittedFrom,
  type Observer,
  type SnapshotFrom,
  type Subscription,
} from 'xstate';

/*
 * The only file that uses undocumented fields of XState. Each comment names the gain or the reason. XState 5.33 is
 * assumed. If a later version moves or renames a field, only its gain or its report is lost.
 */

/** The lists of subscribers and listeners of an XState actor. */
interface Lists {
  observers: Set<unknown> | undefined;
  eventListeners: Map<string, unknown> | undefined;
}

const NO_OBSERVERS = new Set<unknown>();
const NO_LISTENERS = new Map<string, unknown>();

/**
 * XState's actor with lists of subscribers that are created on demand. Until then all such actors share two empty lists.
 * Saves 340 of the 1,980 bytes that a namespace takes. XState adds to the lists in `subscribe` and `on` alone.
 */
export class LeanActor<Logic extends AnyActorLogic> extends Actor<Logic> {
  constructor(logic: Logic, options: ActorOptions<Logic>) {
    super(logic, options);
    const lists = listsOf(this);
    if (lists.observers?.size === 0) lists.observers = NO_OBSERVERS;
    if (lists.eventListeners?.size === 0) lists.eventListeners = NO_LISTENERS;
  }

  override subscribe(
    next?: Observer<SnapshotFrom<Logic>> | ((snapshot: SnapshotFrom<Logic>) => void),
    error?: (error: unknown) => void,
    complete?: () => void,
  ): Subscription {
    const lists = listsOf(this);
    if (lists.observers === NO_OBSERVERS) lists.observers = new Set();
    return super.subscribe(next as never, error, complete);
  }

  override on<Type extends EmittedFrom<Logic>['type'] | '*'>(
    type: Type,
    handler: (emitted: EmittedFrom<Logic> & (Type extends '*' ? unknown : { type: Type })) => void,
  ): Subscription {
    const lists = listsOf(this);
    if (lists.eventListeners === NO_LISTENERS) lists.eventListeners = new Map();
    return super.on(type, handler);
  }
}

/**
 * Returns whether an actor has listeners for what it emits; `true` if that cannot be determined. XState checks this
 * itself, but only once the event exists, and creating the event takes a tenth of a `set`.
 */
export function hasListeners(actor: object): boolean {
  return listsOf(actor).eventListeners?.size !== 0;
}

/** Returns whether an actor has subscribers or listeners; `true` if that cannot be determined. */
export function isObserved(actor: object): boolean {
  const { observers, eventListeners } = listsOf(actor);
  return observers?.size !== 0 || eventListeners?.size !== 0;
}

/** Counts the inspectors of an actor's system from now on. XState does not tell whether a system is inspected. */
export function countInspectors({ system }: Pick<Actor<AnyActorLogic>, 'system'>): { count: number } {
  const counted = { count: 0 };
  const inspect = system.inspect.bind(system);
  system.inspect = (observer) => {
    const subscription = inspect(observer);
    counted.count += 1;
    let inspects = true;
    return {
      unsubscribe() {
        subscription.unsubscribe();
        if (inspects) counted.count -= 1;
        inspects = false;
      },
    };
  };
  return counted;
}

/**
 * Freezes the parts of a snapshot that namespaces share, and returns the snapshot. XState copies what it changes of a
 * snapshot; if it ever stops doing so, the write throws instead of changing every namespace.
 */
export function frozenParts<Snapshot extends AnyMachineSnapshot>(snapshot: Snapshot): Snapshot {
  for (const part of [snapshot._nodes, snapshot.children, snapshot.historyValue]) Object.freeze(part);
  return snapshot;
}

/**
 * Replaces the options of a started actor with options that all actors share. XState does not read them again, and each
 * actor would keep an object with a shape of its own. Saves 390 bytes per namespace.
 */
export function shareOptions<Logic extends AnyActorLogic>(actor: Actor<Logic>, shared: Actor<Logic>['options']): void {
  actor.options = shared;
}

/** Returns the parent of an XState actor; `undefined` for the root of a system. No documented field names it. */
export function parentOf(actor: object): object | undefined {
  return (actor as { readonly _parent?: object })._parent;
}

function listsOf(actor: object): Lists {
  return actor as Lists;
}
