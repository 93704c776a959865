import type { JSX } from 'preact';
import type { ClusterHealth, ClusterLease, ClusterMember } from '../../../engine/sequencer.ts';
import { count, dateTime, duration, plural } from '../format.ts';
import { Badge, Card, Facts, type Tone } from '../ui/parts.tsx';

const TONES: Readonly<Record<ClusterHealth['status'], Tone>> = {
  joining: 'accent',
  ready: 'ok',
  stalled: 'warn',
  failed: 'bad',
  closed: undefined,
};

/** JSON has no infinity. */
type Received = Omit<ClusterHealth, 'stalenessMs'> & { readonly stalenessMs: number | null };

/** Shows this node of a cluster, the other members, and which of them does what only one does. */
export function ClusterCard({ of }: { readonly of: ClusterHealth }): JSX.Element {
  const { status, node, failure, members, leases }: Received = of;
  return (
    <Card title={`Cluster · ${node}`} side={<Badge tone={TONES[status]}>{status}</Badge>}>
      <div class="stack">
        {failure && (
          <p class="notice bad" role="alert">
            {failure.code}: {failure.message}
          </p>
        )}
        <NodeFacts of={of} />
        <Members of={members} own={node} />
        <Leases of={leases} />
      </div>
    </Card>
  );
}

function NodeFacts({ of }: { readonly of: Received }): JSX.Element {
  const { connected, sequence, head, stalenessMs, waiting, time, hash, protocol, syncs, replicas } = of;
  const behind = Math.max(0, head - sequence);
  return (
    <Facts
      wide
      of={[
        ['Server', connected ? 'connected' : <span class="error-text">not connected</span>],
        [
          'Message',
          `${count(sequence)}${behind === 0 ? ', the newest known' : `, ${plural(behind, 'message')} behind`}`,
        ],
        ['Up to date', stalenessMs === null ? 'not known yet' : `known ${duration(stalenessMs)} ago`],
        ['Queue', waiting === 0 ? 'nothing waits' : plural(waiting, 'command')],
        ['Stream time', <time key="time">{dateTime(time)}</time>],
        ['Hash', <code key="hash">{hash.toString(16).padStart(8, '0')}</code>],
        ['Protocol', count(protocol)],
        ['Replicas', replicas === undefined ? undefined : count(replicas)],
        ['Synced', syncs === undefined ? 'unknown' : syncs ? 'every write' : 'now and then'],
      ]}
    />
  );
}

function Members({ of, own }: { readonly of: readonly ClusterMember[]; readonly own: string }): JSX.Element {
  // By name: the order in which they have spoken changes all the time.
  const sorted = [...of].sort((a, b) => (a.node < b.node ? -1 : 1));
  return (
    <div class="table-wrap">
      <table class="table" aria-label="Members">
        <thead>
          <tr>
            <th>Member</th>
            <th>Version</th>
            <th class="r" title="Messages that it lacked when it last spoke">
              Behind
            </th>
            <th class="r">Silent for</th>
          </tr>
        </thead>
        <tbody>
          {sorted.map(({ node, version, lag, silentMs }) => (
            <tr key={node}>
              <td>{node === own ? `${node} (this one)` : node}</td>
              <td>{version}</td>
              <td class="r">{count(lag)}</td>
              <td class="r">{duration(silentMs)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Leases({ of }: { readonly of: readonly ClusterLease[] }): JSX.Element | null {
  if (of.length === 0) return null;
  return (
    <div class="table-wrap">
      <table class="table" aria-label="Leases">
        <thead>
          <tr>
            <th>Lease</th>
            <th>Held by</th>
            <th class="r">For</th>
            <th class="r">Delivered</th>
          </tr>
        </thead>
        <tbody>
          {of.map(({ name, node, leftMs, checkpoint }) => (
            <tr key={name}>
              <td>{name}</td>
              <td>{node ?? 'free'}</td>
              <td class="r">{node === undefined ? '–' : duration(leftMs)}</td>
              <td class="r">{checkpoint === 0 ? '–' : count(checkpoint)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
