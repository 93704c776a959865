import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { connect, link } from './live.ts';
import { keepToken } from './token.ts';
import { Icon } from './ui/icons.tsx';

/** Shown instead of the page if the address has no token, or that of an earlier process. */
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
          Open the whole address that <code>context-cache inspect</code> printed, or paste it or its token here. After a
          restart the token may be a new one.
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
