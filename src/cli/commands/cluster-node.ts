import type { ClusterHealth } from '../../types.ts';
import { shownAmount, shownCount } from '../terminal/format.ts';

/** Returns a node and the members of its cluster as lines. */
export function shownNode(health: ClusterHealth): string {
  const { node, status, connected, sequence, head, stalenessMs, waiting, members, leases, failure, protocol } = health;
  const highest = members.length === 0 ? protocol : Math.min(...members.map(({ maxProtocol }) => maxProtocol));
  const connection = connected ? '' : ', not connected';
  const behind = head > sequence ? `${shownAmount(head - sequence, 'message')} behind` : 'up to date';
  const since =
    stalenessMs === null || stalenessMs === Infinity ? 'never' : `${shownCount(Math.round(stalenessMs))} ms ago`;
  return [
    `node      ${node}: ${status}${connection}, at message ${shownCount(sequence)}, ${behind} (checked ${since}), ${shownAmount(waiting, 'write')} waiting`,
    ...(failure === undefined ? [] : [`          ${failure.code}: ${failure.message}`]),
    `protocol  ${protocol}${highest > protocol ? `, can be raised to ${highest}` : ''}`,
    ...[...members].sort(byName).map(({ node: name, version, maxProtocol, silentMs, lag }) => {
      const lagging = lag === 0 ? 'up to date' : `${shownAmount(lag, 'message')} behind`;
      return `member    ${name}: version ${version}, protocols up to ${maxProtocol}, ${lagging} when it last spoke, ${shownCount(Math.round(silentMs / 1_000))} s ago`;
    }),
    ...leases.map(({ name, node: holder, checkpoint }) => {
      // Who takes the snapshots delivers nothing.
      const delivered = checkpoint === 0 ? '' : `, delivered up to position ${shownCount(checkpoint)}`;
      return `lease     ${name}: ${holder ?? 'free'}${delivered}`;
    }),
  ].join('\n');
}

function byName(one: { readonly node: string }, other: { readonly node: string }): number {
  return one.node < other.node ? -1 : 1;
}
