const KEPT_AS = 'context-cache-inspector.token';

/** Takes the token out of the address bar (`#token=…`, `#/time?at=3&token=…`), where it would stay in the history. */
function takeFromAddress(): string | undefined {
  const found = /[#?&]token=([\w-]+)/.exec(location.hash);
  if (found === null) return undefined;
  const hash = location.hash.replace(found[0], found[0].startsWith('#') ? '#' : found[0][0] === '?' ? '?' : '');
  const rest = hash.replace('?&', '?').replace(/\?$/, '');
  history.replaceState(null, '', rest === '#' ? location.pathname : rest);
  return found[1];
}

function take(): string | undefined {
  const token = takeFromAddress();
  if (token !== undefined) sessionStorage.setItem(KEPT_AS, token);
  return token;
}

/** What proves to the server that this page may ask; `undefined` where the address brought none. */
export function token(): string | undefined {
  return take() ?? sessionStorage.getItem(KEPT_AS) ?? undefined;
}

/** Keeps a token that was typed in. */
export function keepToken(text: string): void {
  sessionStorage.setItem(KEPT_AS, /token=([\w-]+)/.exec(text)?.[1] ?? text.trim());
}
