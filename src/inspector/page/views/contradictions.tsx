import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { ContradictionDetail, Paged, UpdateRow } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { count, dateTime, keyText } from '../format.ts';
import { usePages } from '../pages.ts';
import { hrefOf } from '../router.ts';
import { previewText } from '../ui/json-text.ts';
import { Card, Empty, Failed, Loading, Op } from '../ui/parts.tsx';
import { NO_AGENT } from './agents-card.tsx';

const PAGE = 50;

interface ContradictionsProps {
  /** `undefined`: all. */
  readonly namespace: string | undefined;
}

/** Writes that contradict each other. Loads when it is opened: the first time reads the whole log. */
export function ContradictionsCard({ namespace }: ContradictionsProps): JSX.Element {
  const [open, setOpen] = useState(false);
  const where = namespace === undefined ? 'of all namespaces' : `in ${namespace}`;
  return (
    <Card
      title="Contradictions"
      side={
        <button type="button" class="button small" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? 'Hide' : `Show those ${where}`}
        </button>
      }
      flush
    >
      {open && <Contradictions namespace={namespace} />}
    </Card>
  );
}

function Contradictions({ namespace }: ContradictionsProps): JSX.Element {
  const { items, last, error, hasMore, more, reload } = usePages<ContradictionDetail, Paged<ContradictionDetail>>(
    (after, signal) => get('GET /api/contradictions', { namespace, after, limit: PAGE }, signal),
    [namespace],
  );
  if (error) return <Failed message={error.message} retry={reload} />;
  if (last === undefined) return <Loading what="Reading the log" />;
  if (items.length === 0 && !hasMore)
    return (
      <Empty title="No contradictions" icon="check">
        Two agents contradict each other if both say what they had read, and the later one did not know what the earlier
        had written to the same key.
      </Empty>
    );
  return (
    <>
      <ol class="contradictions" aria-label="Contradictions, earliest first">
        {items.map((item) => (
          <li key={item.later.position} class="contradiction">
            <a class="ellipsis" href={hrefOf('data', { ns: item.namespace, key: item.key })}>
              <span class="muted">{item.namespace}</span> <b>{keyText(item.key)}</b>
            </a>
            <Side of={item.earlier} name="earlier" />
            <Side of={item.later} name="later" />
          </li>
        ))}
      </ol>
      {hasMore && (
        <div class="card-body">
          <button type="button" class="button small" onClick={more}>
            Later ones
          </button>
        </div>
      )}
    </>
  );
}

interface SideProps {
  readonly of: UpdateRow;
  readonly name: 'earlier' | 'later';
}

function Side({ of, name }: SideProps): JSX.Element {
  const { agent, position, operation, preview, at } = of;
  return (
    <a
      class="contradiction-side"
      href={hrefOf('updates', { pos: position })}
      title={dateTime(at)}
      aria-label={`${name}: ${operation} by ${agent ?? NO_AGENT}, position ${position}`}
    >
      <span class="muted small-text">{name}</span>
      <strong class="ellipsis">{agent ?? NO_AGENT}</strong>
      <span class="ellipsis mono">{preview === null ? <Op of={operation} /> : previewText(preview)}</span>
      <span class="muted small-text num">#{count(position)}</span>
    </a>
  );
}
