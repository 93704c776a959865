import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { link, meta } from './live.ts';
import { Locked } from './locked.tsx';
import { hrefOf, route, VIEWS, type ViewName } from './router.ts';
import { Icon } from './ui/icons.tsx';
import { Badge, Loading, Segments, type Tone } from './ui/parts.tsx';
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

/** The whole page: navigation, how the connection is, and the view that the address names. */
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
        <ThemeSwitch />
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
  const what = meta.value;
  const place = what === undefined ? '' : (what.dataDir ?? 'in memory');
  return (
    <div class="brand">
      <strong>Context Cache</strong>
      <span class="muted ellipsis" title={place}>
        {what?.branchOf == null ? lastPart(place) : `branch of position ${what.branchOf}`}
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
        <span class="may-write">
          <Badge tone="warn">may write</Badge>
        </span>
      )}
    </div>
  );
}

function ThemeSwitch(): JSX.Element {
  return (
    <Segments<Theme>
      label="Colours"
      value={theme.value}
      onChange={(value) => {
        theme.value = value;
      }}
      options={[
        ['auto', <Icon key="auto" name="auto" size={15} />, 'Colours of the system'],
        ['light', <Icon key="light" name="sun" size={15} />, 'Light'],
        ['dark', <Icon key="dark" name="moon" size={15} />, 'Dark'],
      ]}
    />
  );
}

/** What is shown stays; that it may be old is said. */
function LostBanner(): JSX.Element | null {
  if (link.value !== 'lost' || meta.value === undefined) return null;
  return (
    <div class="banner bad" role="alert">
      <Icon name="warning" size={16} />
      <strong>The process does not answer.</strong>
      <span>What you see is the last that was known. The page connects again by itself.</span>
    </div>
  );
}

function Waiting(): JSX.Element {
  return link.value === 'lost' ? (
    <Loading what="The process does not answer; trying again" />
  ) : (
    <Loading what="Connecting" />
  );
}
