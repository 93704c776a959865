import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Branch } from '../../protocol.ts';
import { post } from '../api.ts';
import { count } from '../format.ts';
import { Icon } from '../ui/icons.tsx';

/** Forks a branch at a position, with an inspector of its own that may change everything in it. */
export function ForkButton({ at }: { readonly at: number }): JSX.Element {
  const [branch, setBranch] = useState<Branch | undefined>(undefined);
  const [error, setError] = useState<string | undefined>(undefined);
  const [busy, setBusy] = useState(false);
  const fork = async () => {
    setBusy(true);
    setError(undefined);
    await post('POST /api/fork', { at }).then(setBranch, (failed: Error) => setError(failed.message));
    setBusy(false);
  };
  return (
    <>
      <button type="button" class="button" disabled={busy} onClick={() => void fork()}>
        <Icon name="fork" size={16} /> Fork from here
      </button>
      {error !== undefined && (
        <p class="notice bad" role="alert">
          {error}
        </p>
      )}
      {branch !== undefined && (
        <p class="notice ok" role="status">
          <span>
            A branch of position {count(branch.position)} is ready in memory. Changes in it do not change this cache.{' '}
            <a href={branch.url} target="_blank" rel="noopener">
              Open its inspector
            </a>
          </span>
        </p>
      )}
    </>
  );
}
