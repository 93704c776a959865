import type { JSX } from 'preact';
import { token } from '../token.ts';
import { CopyButton } from '../ui/copy.tsx';

/** The address of what is shown, with the token, so that it opens anywhere on this machine. */
export function ShareButton(): JSX.Element {
  const address = () => {
    const hash = location.hash === '' ? '#/overview' : location.hash;
    return `${location.origin}${location.pathname}${hash}${hash.includes('?') ? '&' : '?'}token=${token() ?? ''}`;
  };
  return <CopyButton label="Copy a link to this moment, with the token" text={address} icon="link" />;
}
