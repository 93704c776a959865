import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { meta } from '../live.ts';
import { go, route } from '../router.ts';
import { Badge, Card, Empty } from '../ui/parts.tsx';
import { ConnectionsCard } from './connections.tsx';
import { ContradictionsCard } from './contradictions.tsx';
import { DataTree } from './data-tree.tsx';
import { EntryCard } from './entry.tsx';
import { HistoryCard } from './history.tsx';

export function DataTreeView(): JSX.Element {
  const { ns: namespace, key } = route.value.params;
  // Shows an edit made here at once, even if the feed is slower.
  const [written, setWritten] = useState(0);
  return (
    <div class="view fill">
      <header class="view-head">
        <h1>Data</h1>
        {meta.value?.redacts && <Badge>secrets are hidden</Badge>}
        {meta.value?.allowWrite === false && <Badge>read only</Badge>}
      </header>
      <div class="split">
        <DataTree
          namespace={namespace}
          entryKey={key}
          onSelect={(chosen, chosenKey) => go('data', { ns: chosen, key: chosenKey })}
        />
        <div class="stack scroll">
          {namespace === undefined || key === undefined ? (
            <>
              <Card title={namespace ?? 'No entry chosen'}>
                <Empty title="Choose a key" icon="data">
                  Its value, age and history appear here. Groups open and close with a click or the arrow keys.
                </Empty>
              </Card>
              <ContradictionsCard namespace={namespace} />
            </>
          ) : (
            <>
              <EntryCard
                key={`${namespace}\n${key}`}
                namespace={namespace}
                entryKey={key}
                turn={written}
                onWritten={() => setWritten(written + 1)}
              />
              <ConnectionsCard
                key={`connections\n${namespace}\n${key}`}
                namespace={namespace}
                entryKey={key}
                turn={written}
              />
              <ContradictionsCard key={`contradictions\n${namespace}`} namespace={namespace} />
              <HistoryCard key={`history\n${namespace}\n${key}`} namespace={namespace} entryKey={key} turn={written} />
            </>
          )}
        </div>
      </div>
    </div>
  );
}
