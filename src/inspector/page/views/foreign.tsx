import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { ForeignEvent } from '../../live-protocol.ts';
import type { ForeignActor } from '../../protocol.ts';
import { get } from '../api.ts';
import { count, plural, preciseTime } from '../format.ts';
import { subscribe } from '../live.ts';
import { useLoaded } from '../load.ts';
import { Statechart } from '../statechart/statechart.tsx';
import { inline, JsonView } from '../ui/json-view.tsx';
import { Badge, Card, Facts } from '../ui/parts.tsx';

/** Events shown, the last ones. */
const SHOWN = 30;

/** Actors of other programs, sent by the producer of `@statelyai/inspect`. Empty if no program sends any. */
export function ForeignActors(): JSX.Element | null {
  const { value } = useLoaded((signal) => get('GET /api/foreign', {}, signal), []);
  const [news, setNews] = useState<readonly ForeignActor[]>([]);
  const [events, setEvents] = useState<readonly ForeignEvent[]>([]);
  const [chosen, choose] = useState<string | undefined>(undefined);
  useEffect(
    () =>
      subscribe({ feed: 'foreign' }, (message) => {
        setNews((before) => newest(before, message.actors));
        setEvents((before) => [...[...message.events].reverse(), ...before].slice(0, SHOWN));
      }),
    [],
  );
  const actors = newest(value?.actors ?? [], news);
  if (actors.length === 0) return null;
  const actor = actors.find(({ id }) => id === chosen) ?? actors[0];
  return (
    <Card title="Actors of other programs" side={<Badge>{count(actors.length)}</Badge>}>
      <div class="stack">
        <select
          class="input"
          aria-label="Actor of another program"
          value={actor?.id}
          onChange={(event) => choose(event.currentTarget.value)}
        >
          {actors.map(({ id, name }) => (
            <option key={id} value={id}>
              {name} ({id})
            </option>
          ))}
        </select>
        {actor && <Foreign actor={actor} events={events.filter((event) => event.actor === actor.id)} />}
      </div>
    </Card>
  );
}

/** Merges newer actors into the older list. */
function newest(older: readonly ForeignActor[], newer: readonly ForeignActor[]): readonly ForeignActor[] {
  const byId = new Map([...older, ...newer].map((actor) => [actor.id, actor]));
  return [...byId.values()];
}

interface ForeignProps {
  readonly actor: ForeignActor;
  readonly events: readonly ForeignEvent[];
}

function Foreign({ actor, events }: ForeignProps): JSX.Element {
  return (
    <>
      <Facts
        of={[
          ['Status', actor.status],
          ['State', actor.states.join(', ') || '–'],
          ['Parent', actor.parent ?? undefined],
          ['Events', plural(actor.events, 'event')],
        ]}
      />
      {actor.machine && <Statechart machine={actor.machine} current={actor.states} />}
      <JsonView value={actor.context} />
      <ol class="transitions" aria-label="Events, newest first">
        {events.map((event, place) => (
          <li key={`${event.at}.${events.length - place}`}>
            <span class="mono muted">{preciseTime(event.at)}</span>
            <span class="mono ellipsis">
              <strong>{event.type}</strong> <span class="muted">{inline(event.event, 90)}</span>
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}
