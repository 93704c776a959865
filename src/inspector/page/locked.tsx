import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { connect, link } from './live.ts';
import { keepToken } from './token.ts';
import { Icon } from './ui/icons.tsx';

/** Stands where the address brought no token, or that of a process that has ended. */
export function Locked(): JSX.Element {
  const [text, setText] = useState('');
  const open = (event: Event) => {
    event.preventDefault();
    keepToken(text);
    link.value = 'connecting';
    void connect();
  };
  return (
    <main class="locked">
      <form class="card locked-card" onSubmit={open}>
        <Icon name="link" size={26} />
        <h1>This page needs its token</h1>
        <p class="soft">
          Open the whole address that <code>context-cache inspect</code> has printed, or paste it (or its token) here. A
          process that was started again may have a new one.
        </p>
        <input
          class="input"
          aria-label="Address or token"
          placeholder="http://127.0.0.1:…/#token=…"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit" class="button primary" disabled={text.trim() === ''}>
          Open
        </button>
      </form>
    </main>
  );
}
