import type { JSX } from 'preact';
import type { UpdateDetail } from '../../data-protocol.ts';
import { get } from '../api.ts';
import { bytes, count, dateTime, keysText, keyText } from '../format.ts';
import { useLoaded } from '../load.ts';
import { hrefOf, route } from '../router.ts';
import { Difference } from '../ui/difference.tsx';
import { Icon } from '../ui/icons.tsx';
import { Badge, Card, Facts, Failed, IconButton, Loading, Op } from '../ui/parts.tsx';
import { Subjects, Value } from '../ui/subjects.tsx';

interface DetailProps {
  readonly position: number;
  readonly onClose?: () => void;
}

/** One update: its facts, its value, and its difference from the version before. */
export function UpdateDetailCard({ position, onClose }: DetailProps): JSX.Element {
  const { value, error, reload } = useLoaded(
    (signal) => get('GET /api/update', { position }, signal),
    ['update', position],
  );
  return (
    <Card
      fill
      title={`Update ${count(position)}`}
      side={
        <>
          {value && <Op of={value.operation} />}
          {onClose && <IconButton label="Close" icon="close" small onClick={onClose} />}
        </>
      }
    >
      {value === undefined ? (
        error ? (
          <Failed message={error.message} retry={reload} />
        ) : (
          <Loading what="Loading" />
        )
      ) : (
        <UpdateBody of={value} />
      )}
    </Card>
  );
}

function UpdateBody({ of }: { readonly of: UpdateDetail }): JSX.Element {
  const { before } = of;
  const wasThere = before !== null;
  const isElsewhere = route.value.view !== 'time';
  return (
    <div class="stack">
      <Facts
        of={[
          ['Namespace', of.namespace],
          ['Key', keysText(of)],
          ['Version', count(of.version)],
          ['Agent', of.agent ?? '–'],
          ['Subject', of.subjects === undefined ? undefined : <Subjects of={of} />],
          ['Requested', dateTime(of.at)],
          ['Expires', of.expiresAt === null ? undefined : dateTime(of.expiresAt)],
          ['Size', of.operation === 'set' ? bytes(of.bytes) : undefined],
        ]}
      />
      <div class="row wrap">
        {of.key !== null && (
          <a class="button small" href={hrefOf('data', { ns: of.namespace, key: of.key })}>
            <Icon name="data" size={15} /> Entry and history
          </a>
        )}
        {isElsewhere && (
          <a
            class="button small"
            href={hrefOf('time', { at: of.position, ns: of.namespace, key: of.key ?? undefined })}
          >
            <Icon name="time" size={15} /> View at this position
          </a>
        )}
        {of.hidden && <Badge tone="warn">partly hidden</Badge>}
      </div>
      {of.keys !== undefined && (
        <section>
          <h3 class="label">Removed keys</h3>
          <p class="mono">{of.keys.map(keyText).join(', ')}</p>
          {of.cleared !== null && of.cleared > of.keys.length && (
            <p class="muted">The first {count(of.keys.length)} are shown.</p>
          )}
        </section>
      )}
      {of.value !== undefined && (
        <section>
          <h3 class="label">Value</h3>
          <Value of={of} />
        </section>
      )}
      {of.key !== null && (
        <section>
          <h3 class="label">{wasThere ? `Compared with version ${count(before.version)}` : 'Before'}</h3>
          {wasThere ? <Difference before={before.value} after={of.value} /> : <p class="muted">There was no entry.</p>}
        </section>
      )}
    </div>
  );
}
