import type { JSX } from 'preact';
import type { AgentActivity, AgentsDetail } from '../../protocol.ts';
import { ago, count, keyText, plural } from '../format.ts';
import { hrefOf } from '../router.ts';
import { useNow } from '../ui/hooks.ts';
import { Badge, Card, Empty } from '../ui/parts.tsx';

/** Rows of each list. */
export const SHOWN_AGENTS = 8;
const SHOWN_CONFLICTS = 8;

/** Name shown for writes without an agent. */
export const NO_AGENT = 'no agent';

interface OfAgents {
  readonly of: AgentsDetail;
}

/** Who writes: the agent that wrote last comes first. */
export function AgentsCard({ of: { agents, total, from, to } }: OfAgents): JSX.Element {
  const now = useNow();
  const shown = agents.slice(0, SHOWN_AGENTS);
  const more = total - shown.filter(({ agent }) => agent !== null).length;
  return (
    <Card
      title="Agents"
      side={<span class="muted small-text num">{to >= from && `in updates ${count(from)} to ${count(to)}`}</span>}
      flush
    >
      {shown.length === 0 ? (
        <Empty title="No agent has written yet" icon="actors">
          A write names its agent with the option <code>agent</code>.
        </Empty>
      ) : (
        <div class="table-wrap">
          <table class="table agents">
            <thead>
              <tr>
                <th>Agent</th>
                <th class="r">Updates</th>
                <th class="r">Conflicts</th>
                <th>Last write</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((agent) => (
                <AgentRow key={agent.agent ?? ''} of={agent} now={now} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {more > 0 && <p class="card-foot muted small-text">and {count(more)} more</p>}
    </Card>
  );
}

function AgentRow({ of, now }: { readonly of: AgentActivity; readonly now: number }): JSX.Element {
  const { agent, updates, conflicts, last } = of;
  return (
    <tr>
      <td class="agent-name">
        {agent === null ? (
          <span class="muted">{NO_AGENT}</span>
        ) : (
          <a href={hrefOf('updates', { agent })} title={`Updates of ${agent}`}>
            {agent}
          </a>
        )}
      </td>
      <td class="r">{count(updates)}</td>
      <td class="r">{conflicts > 0 ? <Badge tone="warn">{count(conflicts)}</Badge> : '0'}</td>
      <td class="agent-last">
        {last === null ? (
          <span class="muted">none in these updates</span>
        ) : (
          <>
            <a class="ellipsis" href={hrefOf('data', { ns: last.namespace, key: last.key ?? undefined })}>
              {last.namespace} {last.key === null ? '' : keyText(last.key)}
            </a>
            <span class="muted small-text num">{ago(last.at, now)}</span>
          </>
        )}
      </td>
    </tr>
  );
}

/** Writes that were refused because another writer was faster. */
export function ConflictsCard({ of: { conflicts } }: OfAgents): JSX.Element {
  const now = useNow();
  return (
    <Card
      title="Conflicts"
      side={<span class="muted small-text num">{plural(conflicts.count, 'refused write')} since the start</span>}
      flush
    >
      {conflicts.recent.length === 0 ? (
        <Empty title="No conflicts" icon="check">
          A write with <code>ifVersion</code> is refused if another writer was faster. Refused writes are listed here.
        </Empty>
      ) : (
        <ol class="conflicts" aria-label="Conflicts, newest first">
          {conflicts.recent.slice(0, SHOWN_CONFLICTS).map(({ at, agent, namespace, key, expected, found }, index) => (
            <li key={`${at}.${conflicts.count - index}`}>
              <span>
                <strong>{agent ?? NO_AGENT}</strong>{' '}
                <a href={hrefOf('data', { ns: namespace, key })}>
                  {namespace} {keyText(key)}
                </a>
              </span>
              <span class="small-text soft num">
                expected {versionOf(expected)}, found {versionOf(found)}
              </span>
              <span class="muted small-text num">{ago(at, now)}</span>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

const versionOf = (version: number): string => (version === 0 ? 'no entry' : `v${count(version)}`);
