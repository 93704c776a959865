import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { VerifyProgress } from '../../../verify/verify-findings.ts';
import type { HealthDetail, LastVerification, VerifyAgainst } from '../../protocol.ts';
import { post } from '../api.ts';
import { ago, count, plural } from '../format.ts';
import { subscribe } from '../live.ts';
import { useNow } from '../ui/hooks.ts';
import { Icon } from '../ui/icons.tsx';
import { Badge, Card, Empty } from '../ui/parts.tsx';

const STAGES: Readonly<Record<VerifyProgress['stage'], string>> = {
  log: 'base and log',
  namespaces: 'the namespaces',
  records: 'the index',
  memory: 'the memory',
  backups: 'the snapshots',
  against: 'the mirror',
};

interface VerifyProps {
  readonly of: HealthDetail;
  readonly onDone: () => void;
}

/** Starts a verification, shows its progress, and reports what it found. */
export function VerifyCard({ of: { verify, mirror }, onDone }: VerifyProps): JSX.Element {
  const [progress, setProgress] = useState<VerifyProgress | null>(verify.running);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | undefined>(undefined);
  useEffect(() => subscribe({ feed: 'verify' }, (message) => setProgress(message.progress)), []);
  const begin = async (against: VerifyAgainst) => {
    setBusy(true);
    setError(undefined);
    await post('POST /api/verify', { against }).then(onDone, (failed: Error) => setError(failed.message));
    setBusy(false);
  };
  const isRunning = busy || progress !== null;
  return (
    <Card
      title="Verify"
      side={
        <>
          {mirror !== null && (
            <button type="button" class="button small" disabled={isRunning} onClick={() => void begin('mirror')}>
              Compare with the mirror
            </button>
          )}
          <button type="button" class="button small" disabled={isRunning} onClick={() => void begin('nothing')}>
            <Icon name="check" size={15} /> Verify
          </button>
        </>
      }
    >
      <div class="stack">
        {isRunning && <Running progress={progress} />}
        {error !== undefined && (
          <p class="notice bad" role="alert">
            {error}
          </p>
        )}
        {verify.last ? <Report of={verify.last} /> : !isRunning && <NotYet />}
      </div>
    </Card>
  );
}

function NotYet(): JSX.Element {
  return (
    <Empty title="Not verified since the start" icon="health">
      Verify reads every record and applies every update again while writes go on. It changes nothing.
    </Empty>
  );
}

function Running({ progress }: { readonly progress: VerifyProgress | null }): JSX.Element {
  return (
    <p class="notice" role="status">
      <span class="spinner" />
      <span class="num">
        {progress === null ? 'Starting …' : `Checking ${STAGES[progress.stage]}: ${count(progress.done)}`}
      </span>
    </p>
  );
}

function Report({ of }: { readonly of: LastVerification }): JSX.Element {
  const now = useNow();
  const { checked, problems, moreProblems, notes } = of;
  const looked = Object.entries(checked).filter(([, number]) => number > 0);
  return (
    <div class="stack">
      <p class="row wrap">
        <Badge tone={of.ok ? 'ok' : 'bad'}>
          {of.ok ? 'no problems' : plural(problems.length + moreProblems, 'problem')}
        </Badge>
        <span class="muted">
          at position {count(of.position)}, {ago(of.at, now)}
          {of.against === 'mirror' ? ', with the mirror' : ''}
        </span>
      </p>
      <p class="row wrap small-text soft">
        {looked.map(([name, number]) => (
          <span key={name}>
            <b class="num">{count(number)}</b> {name}
          </span>
        ))}
      </p>
      {problems.length > 0 && (
        <ul class="problems">
          {problems.map((problem) => (
            <li key={`${problem.kind}${problem.message}${JSON.stringify(problem.where)}`} class="notice bad">
              <span>
                <strong>{problem.kind}</strong> {problem.message}{' '}
                <span class="mono">
                  {Object.entries(problem.where)
                    .map(([name, place]) => `${name} ${place}`)
                    .join(', ')}
                </span>
              </span>
            </li>
          ))}
        </ul>
      )}
      {notes.map((note) => (
        <p key={note} class="muted small-text note">
          {note}
        </p>
      ))}
      <p
        class="muted small-text ellipsis"
        title="SHA-256 over all namespaces; equal for two caches with the same state"
      >
        digest <span class="mono">{of.digest}</span>
      </p>
    </div>
  );
}
