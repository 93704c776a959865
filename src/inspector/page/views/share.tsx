import type { JSX } from 'preact';
import { token } from '../token.ts';
import { CopyButton } from '../ui/copy.tsx';

/** Copies the address of the current view with the token, so that it opens in any browser on this machine. */
export function ShareButton(): JSX.Element {
  const address = () => {
    const hash = location.hash === '' ? '#/overview' : location.hash;
    return `${location.origin}${location.pathname}${hash}${hash.includes('?') ? '&' : '?'}token=${token() ?? ''}`;
  };
  return <CopyButton label="Copy a link to this view, with the token" text={address} icon="link" />;
}
