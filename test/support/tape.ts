import assert from 'node:assert/strict';

/** Body of a test as it is written for tape. */
export type TapeBody = (t: TapeTest) => unknown;

/**
 * The assertions of tape, as far as the suite of abstract-level uses them. A failed one does not end the test; {@link run}
 * rejects with the first.
 */
export class TapeTest {
  /** Number of assertions made, including those of tests inside this one. */
  checks = 0;
  readonly #inner: Promise<void>[] = [];
  #made = 0;
  #planned: number | undefined;
  #failure: unknown;
  #hasFailed = false;
  #ended = false;
  #finish: () => void = () => {};

  /** Runs a test to its end: that of its promise, of `t.end()`, or the last of the planned assertions. */
  async run(body: TapeBody): Promise<void> {
    const finished = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    const returned = body(this);
    await Promise.all(returned instanceof Promise && this.#planned === undefined ? [returned] : [returned, finished]);
    await Promise.all(this.#inner);
    if (this.#planned !== undefined) assert.equal(this.#made, this.#planned, 'number of planned assertions');
    if (this.#hasFailed) throw this.#failure;
  }

  readonly plan = (count: number): void => {
    this.#planned = count;
    this.#finishIfPlanned();
  };

  readonly end = (error?: unknown): void => {
    if (error !== undefined && error !== null) this.#fail(error);
    if (this.#ended) this.#fail(new Error('The test ended twice.'));
    this.#ended = true;
    if (this.#planned === undefined) this.#finish();
  };

  readonly is = (actual: unknown, expected: unknown, message?: string) =>
    this.#check(() => assert.ok(Object.is(actual, expected), shown(message, actual, expected)));

  readonly isNot = (actual: unknown, expected: unknown, message?: string) =>
    this.#check(() => assert.ok(!Object.is(actual, expected), message));

  readonly same = (actual: unknown, expected: unknown, message?: string) =>
    this.#check(() =>
      assert.deepEqual(actual, expected, message === undefined ? undefined : shown(message, actual, expected)),
    );

  readonly ok = (value: unknown, message?: string) => this.#check(() => assert.ok(value, message ?? 'not ok'));

  readonly pass = (_message?: string) => this.#check(() => {});

  readonly fail = (problem?: unknown) =>
    this.#check(() => {
      throw problem instanceof Error ? problem : new Error(String(problem ?? 'failed'));
    });

  readonly throws = (run: () => unknown, expected?: assert.AssertPredicate) =>
    this.#check(() => (expected === undefined ? assert.throws(run) : assert.throws(run, expected)));

  readonly doesNotThrow = (run: () => unknown) => this.#check(() => assert.doesNotThrow(run));

  /** Runs a test inside this one. It counts as one assertion of a plan, as in tape. */
  readonly test = (_name: string, body: TapeBody): void => {
    const inner = new TapeTest();
    const ended = inner.run(body).then(() => {
      this.checks += inner.checks;
      this.#step();
    });
    this.#inner.push(ended);
  };

  #check(run: () => void): void {
    this.checks += 1;
    try {
      run();
    } catch (error) {
      this.#fail(error);
    }
    this.#step();
  }

  #step(): void {
    this.#made += 1;
    this.#finishIfPlanned();
  }

  #fail(error: unknown): void {
    if (!this.#hasFailed) this.#failure = error;
    this.#hasFailed = true;
  }

  #finishIfPlanned(): void {
    if (this.#planned !== undefined && this.#made >= this.#planned) this.#finish();
  }
}

function shown(message: string | undefined, actual: unknown, expected: unknown): string {
  return `${message ?? 'is'}: ${String(actual)}, not ${String(expected)}`;
}
