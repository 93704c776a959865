import type { JSX } from 'preact';
import { useId, useMemo, useRef } from 'preact/hooks';
import { type JsonProblem, jsonProblem } from './json-problem.ts';

interface EditorProps {
  readonly label: string;
  readonly text: string;
  readonly onInput: (text: string) => void;
}

/** Returns the first error of a text while it is edited. */
export function useJsonProblem(text: string): JsonProblem | undefined {
  return useMemo(() => jsonProblem(text), [text]);
}

/** A text field for JSON, with line numbers. Marks the first error as it is typed. */
export function JsonEditor({
  label,
  text,
  onInput,
  problem,
}: EditorProps & { readonly problem: JsonProblem | undefined }): JSX.Element {
  const id = useId();
  const field = useRef<HTMLTextAreaElement>(null);
  const behind = useRef<HTMLDivElement>(null);
  const lines = text.split('\n').length;
  const follow = () => {
    const { current: from } = field;
    if (from === null || behind.current === null) return;
    behind.current.scrollTop = from.scrollTop;
    behind.current.scrollLeft = from.scrollLeft;
  };
  const jump = () => {
    if (problem === undefined) return;
    field.current?.focus();
    field.current?.setSelectionRange(problem.offset, problem.offset + 1);
  };
  return (
    <div>
      <div class={problem === undefined ? 'editor' : 'editor is-wrong'}>
        <div class="editor-behind" ref={behind} aria-hidden="true">
          <ol class="editor-lines">
            {Array.from({ length: lines }, (_, index) => (
              <li key={index} class={problem?.line === index + 1 ? 'is-wrong' : ''}>
                {index + 1}
              </li>
            ))}
          </ol>
          <pre class="editor-marks">{problem && <Marked text={text} at={problem.offset} />}</pre>
        </div>
        <textarea
          ref={field}
          class="editor-text"
          aria-label={label}
          aria-invalid={problem !== undefined}
          aria-describedby={problem === undefined ? undefined : id}
          spellcheck={false}
          wrap="off"
          value={text}
          onScroll={follow}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      </div>
      <p class="editor-problem" id={id} role="status">
        {problem === undefined ? (
          <span class="muted">Valid JSON</span>
        ) : (
          <>
            <button type="button" class="button small" onClick={jump}>
              Line {problem.line}, column {problem.column}
            </button>
            <span class="error-text">Not JSON: {problem.message}.</span>
          </>
        )}
      </p>
    </div>
  );
}

/** The text with one character marked, to lie behind the same text. */
function Marked({ text, at }: { readonly text: string; readonly at: number }): JSX.Element {
  const mark = text[at];
  const isVisible = mark !== undefined && mark !== '\n';
  return (
    <>
      {text.slice(0, at)}
      <mark>{isVisible ? mark : ' '}</mark>
      {text.slice(isVisible ? at + 1 : at)}
    </>
  );
}
