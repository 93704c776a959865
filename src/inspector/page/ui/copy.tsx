import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { clock } from '../clock.ts';
import type { IconName } from './icons.tsx';
import { IconButton } from './parts.tsx';

interface CopyProps {
  readonly label: string;
  readonly text: () => string;
  readonly icon?: IconName;
}

/** Copies a text to the clipboard and says so. */
export function CopyButton({ label, text, icon = 'copy' }: CopyProps): JSX.Element {
  const [done, setDone] = useState<boolean | undefined>(undefined);
  const copy = async () => {
    const hasCopied = await navigator.clipboard.writeText(text()).then(
      () => true,
      () => false,
    );
    setDone(hasCopied);
    clock.after(1_500, () => setDone(undefined));
  };
  const said = done === undefined ? label : done ? 'Copied' : 'The browser did not allow it';
  return <IconButton label={said} icon={done === true ? 'check' : icon} small onClick={() => void copy()} />;
}
