import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { link, meta } from './live.ts';
import { Locked } from './locked.tsx';
import { hrefOf, route, VIEWS, type ViewName } from './router.ts';
import { Icon, type IconName } from './ui/icons.tsx';
import { Badge, IconButton, Loading, Segments, type Tone } from './ui/parts.tsx';
import { type Theme, theme } from './ui/theme.ts';
import { ActorsView } from './views/actors.tsx';
import { DataTreeView } from './views/data.tsx';
import { HealthView } from './views/health.tsx';
import { OverviewView } from './views/overview.tsx';
import { TimeView } from './views/time.tsx';
import { UpdatesView } from './views/updates.tsx';

const TITLES: Readonly<Record<ViewName, readonly [long: string, short: string]>> = {
  overview: ['Overview', 'Overview'],
  actors: ['Actors', 'Actors'],
  updates: ['Live updates', 'Updates'],
  data: ['Data', 'Data'],
  time: ['Time travel', 'Time'],
  health: ['Health', 'Health'],
};

const COMPONENTS: Readonly<Record<ViewName, () => JSX.Element>> = {
  overview: OverviewView,
  actors: ActorsView,
  updates: UpdatesView,
  data: DataTreeView,
  time: TimeView,
  health: HealthView,
};

/** The whole page: navigation, state of the connection, and the view named by the address. */
export function App(): JSX.Element {
  const { view } = route.value;
  useEffect(() => {
    document.title = `${TITLES[view][0]} · Context Cache inspector`;
  }, [view]);
  if (link.value === 'locked') return <Locked />;
  const View = COMPONENTS[view];
  return (
    <div class="shell">
      <header class="topbar">
        <Brand />
        <LinkState />
        <ThemeButton />
      </header>
      <nav class="side" aria-label="Views">
        <Brand />
        <div class="nav">
          {VIEWS.map((name) => (
            <a key={name} href={hrefOf(name)} aria-current={name === view ? 'page' : undefined}>
              <Icon name={name} />
              <span class="wide-only">{TITLES[name][0]}</span>
              <span class="narrow-only">{TITLES[name][1]}</span>
            </a>
          ))}
        </div>
        <div class="side-end">
          <LinkState />
          <ThemeSwitch />
        </div>
      </nav>
      <div class="banner-area">
        <LostBanner />
      </div>
      <main class="main">{meta.value === undefined ? <Waiting /> : <View key={view} />}</main>
    </div>
  );
}

function Brand(): JSX.Element {
  const about = meta.value;
  const origin = about === undefined ? '' : (about.dataDir ?? 'in memory');
  return (
    <div class="brand">
      <strong>Context Cache</strong>
      <span class="muted ellipsis" title={origin}>
        {about?.branchOf == null ? lastPart(origin) : `branch of position ${about.branchOf}`}
      </span>
    </div>
  );
}

const lastPart = (path: string): string => path.split('/').filter(Boolean).at(-1) ?? path;

const LINK: Readonly<Record<string, readonly [text: string, tone: Tone]>> = {
  connecting: ['connecting', undefined],
  open: ['live', 'ok'],
  lost: ['disconnected', 'bad'],
};

function LinkState(): JSX.Element {
  const [text, tone] = LINK[link.value] ?? ['', undefined];
  return (
    <div class="row wrap" role="status">
      <Badge tone={tone}>
        <span class={`dot ${tone ?? ''}`} />
        {text}
      </Badge>
      {meta.value?.allowWrite === true && (
        <span title="Edits on this page change the cache">
          <Badge tone="warn">may write</Badge>
        </span>
      )}
    </div>
  );
}

const THEMES: readonly (readonly [Theme, IconName, string])[] = [
  ['auto', 'auto', 'System colours'],
  ['light', 'sun', 'Light'],
  ['dark', 'moon', 'Dark'],
];

function ThemeSwitch(): JSX.Element {
  return (
    <Segments<Theme>
      label="Colours"
      value={theme.value}
      onChange={(value) => {
        theme.value = value;
      }}
      options={THEMES.map(([value, icon, label]) => [value, <Icon key={value} name={icon} size={15} />, label])}
    />
  );
}

/** The same in the space of one button, for a narrow page: each press takes the next colours. */
function ThemeButton(): JSX.Element {
  const at = THEMES.findIndex(([value]) => value === theme.value);
  const [, icon, label] = THEMES[at] ?? ['auto', 'auto', 'System colours'];
  const next = THEMES[(at + 1) % THEMES.length];
  return (
    <IconButton
      label={`Colours: ${label}`}
      icon={icon}
      onClick={() => {
        if (next !== undefined) theme.value = next[0];
      }}
    />
  );
}

/** Says that the page may be out of date. */
function LostBanner(): JSX.Element | null {
  if (link.value !== 'lost' || meta.value === undefined) return null;
  return (
    <div class="banner bad" role="alert">
      <Icon name="warning" size={16} />
      <strong>The process does not answer.</strong>
      <span>This page shows its last known state and reconnects by itself.</span>
    </div>
  );
}

function Waiting(): JSX.Element {
  return link.value === 'lost' ? (
    <Loading what="The process does not answer; reconnecting" />
  ) : (
    <Loading what="Connecting" />
  );
}
