/** Number of uploads at a time; each is a part of about 1 MiB. */
const AT_ONCE = 4;

/** Keeps a few uploads going at a time and remembers the first failure. */
export class Uploads {
  readonly #underWay = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** Starts an upload when there is room. Rejects with the first failure of any upload. */
  async add(upload: () => Promise<void>): Promise<void> {
    while (this.#underWay.size >= AT_ONCE) await Promise.race(this.#underWay);
    this.#throwFailure();
    const work: Promise<void> = upload()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
  }

  /** Waits until no upload is under way, failed or not. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /** Waits until all are done. Rejects with the first failure. */
  async done(): Promise<void> {
    await this.settle();
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
