"""Where model files come from, and their copies on this node. Knows nothing about services.

    sources/      one folder a kind: listing, planning and reading (base.py is the contract, registry.py the kinds;
                  net/ is the guarded HTTP client, archives/ looks into archives)
    inspect/      what a folder of model files is, and what the files say
    preheat/      copying/ fetches the files of a plan, store/ keeps them by content; journal.py says what is done
    vault.py      encrypts a secret; credentials.py says with which key, and opens those of a dataset
    drafts.py     what is wrong with options and credentials, and whether the source answers
    actions.py    the write layer: create, update, check, delete, request_round, cancel
    trust.py      whether a team trusts what runs as code
    reports.py    what the files at a path say
    rounds.py     what a worker does with a round, and the sweep; leases.py says who owns one
    reading.py    the read layer: browse, progress, where a published tree is
    round_files.py, store_use.py   what pages and the API are told of a round's files, and of the store
    dispatch.py   enqueueing; tasks.py is the other end of it
    signals.py    what other apps may listen to

`specs`, `states`, `errors`, `sizes`, `sources`, `inspect`, `preheat` and `vault` import no Django.
"""
