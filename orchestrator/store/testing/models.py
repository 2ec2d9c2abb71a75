"""Model versions: what they are, how they are numbered and found, and what their aliases stand for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator.errors import AlreadyExists, Conflict, NotFound
from orchestrator.records.manifest import raw
from orchestrator.records.model import AliasMove, ModelAlias, ModelFile, ModelState
from orchestrator.store.testing.records import SOMEBODY, THEN, a_model, digest, each, moment, new_id

if TYPE_CHECKING:
    from orchestrator.records.model import ModelVersion
    from orchestrator.store.protocol import Store, Transaction


def _stored(store: Store, **fields: object) -> ModelVersion:
    model = a_model(**fields)
    store.write(lambda tx: tx.models.add(model))
    return model


def _move(to: ModelVersion | None, alias: str = "production", **fields: object) -> AliasMove:
    made = {"id": new_id(), "project": "occupancy", "name": "forest", "alias": alias, "actor": SOMEBODY, "at": THEN}
    holder = {} if to is None else {"to_version": to.version, "model_id": to.id}
    return AliasMove.model_validate(made | holder | fields)


class ModelContract:
    """Versions, tags, aliases and the history of these."""

    def test_a_model_comes_back_as_it_went_in(self, store: Store) -> None:
        plain = _stored(store)
        full = _stored(
            store,
            version=2,
            state=ModelState.PUBLISHED,
            framework="scikit-learn",
            comment="deeper",
            tags=("b", "a"),
            metadata={"classes": ["free", "taken"], "depth": 6, "none": None},
            files=(
                ModelFile(path="weights/a.bin", size_bytes=7, digest=digest(3)),
                ModelFile(path="é.json", size_bytes=0, digest=digest(4)),
            ),
            folder=True,
            size_bytes=7,
            task_id=new_id(),
            attempt=3,
            datasets=(new_id(), new_id()),
            published_at=moment(1),
            archived_at=moment(2),
        )
        assert store.read(lambda tx: tx.models.get(plain.id)) == plain
        assert store.read(lambda tx: tx.models.get(full.id)) == full
        assert store.read(lambda tx: tx.models.by_version("occupancy", "forest", 2)) == full
        assert store.read(lambda tx: tx.models.by_version("occupancy", "forest", 3)) is None
        with pytest.raises(NotFound):
            store.read(lambda tx: tx.models.get(new_id()))

    def test_a_number_is_given_once(self, store: Store) -> None:
        first = _stored(store, version=1)
        with pytest.raises(AlreadyExists, match="version 1"):
            _stored(store, version=1)
        _stored(store, version=1, name="other")
        _stored(store, version=1, project="occupancy/below")
        _stored(store, version=7)
        assert store.read(lambda tx: tx.models.next_version("occupancy", "forest")) == 8
        assert store.read(lambda tx: tx.models.next_version("occupancy", "nobody")) == 1
        assert store.read(lambda tx: tx.models.get(first.id)) == first

    def test_of_many_who_register_at_once_each_gets_a_number(self, store: Store) -> None:
        def register(_: int) -> int:
            def work(tx: Transaction) -> int:
                tx.models.lock_name("occupancy", "forest")
                number = tx.models.next_version("occupancy", "forest")
                tx.models.add(a_model(version=number))
                return number

            return store.write(work)

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(register, range(8))) == list(range(1, 9))

    def test_a_model_that_changed_since_it_was_read_is_not_overwritten(self, store: Store) -> None:
        read = _stored(store, tags=("a",))
        tagged = read.changed(tags=("a", "good"), changed_at=moment(5))
        store.write(lambda tx: tx.models.replace(tagged, expected=read))
        with pytest.raises(Conflict, match="good"):
            store.write(lambda tx: tx.models.replace(read.changed(tags=()), expected=read))
        archived = tagged.changed(archived_at=moment(6), changed_at=moment(6))
        store.write(lambda tx: tx.models.replace(archived, expected=tagged))
        with pytest.raises(Conflict, match="archived"):
            store.write(lambda tx: tx.models.replace(tagged.changed(tags=()), expected=tagged))
        published = archived.changed(state=ModelState.PUBLISHED)
        with pytest.raises(Conflict, match="registered"):
            store.write(lambda tx: tx.models.replace(published.changed(tags=()), expected=published))
        store.write(lambda tx: tx.models.replace(tagged.changed(changed_at=moment(7)), expected=archived))
        assert store.read(lambda tx: tx.models.find(tag="good")) == [tagged.changed(changed_at=moment(7))]
        with pytest.raises(NotFound):
            store.write(lambda tx: tx.models.replace(a_model(), expected=a_model()))

    def test_models_are_found_newest_first_by_what_they_are(self, store: Store) -> None:
        task = new_id()
        one = _stored(store, project="a", tags=("x", "y"), task_id=task)
        two = _stored(store, project="a/b", tags=("y",))
        three = _stored(store, project="a-b", name="other", task_id=task)
        gone = _stored(store, project="a", name="gone", archived_at=moment(1), tags=("x",))
        store.write(lambda tx: tx.models.move_alias(_move(two, project="a/b")))

        def found(**filters: object) -> list[str]:
            return [model.id for model in store.read(lambda tx: tx.models.find(**filters))]  # type: ignore[arg-type]

        assert found() == [three.id, two.id, one.id]
        assert found(archived=True) == [gone.id, three.id, two.id, one.id]
        assert found(project="a") == [two.id, one.id]
        assert found(projects_below="a/b") == [two.id]
        assert found(project="a", projects_below="a-b") == []
        assert found(name="other") == [three.id]
        assert found(tag="y") == [two.id, one.id]
        assert found(tag="x", archived=True) == [gone.id, one.id]
        assert found(task_id=task) == [three.id, one.id]
        assert found(alias="production") == [two.id]
        assert found(alias="canary") == []
        assert found(after=three.id, limit=1) == [two.id]

    def test_an_alias_stands_for_one_version_at_a_time(self, store: Store) -> None:
        first, second = _stored(store), _stored(store, version=2)
        elsewhere = _stored(store, name="other")

        def holder(alias: str = "production") -> ModelAlias | None:
            return store.read(lambda tx: tx.models.alias("occupancy", "forest", alias))

        assert holder() is None
        moves = [
            _move(first),
            _move(first, alias="canary"),
            _move(elsewhere, name="other"),
            _move(second, from_version=1, at=moment(3)),
        ]
        store.write(each(moves, lambda tx: tx.models.move_alias))
        of_second = ModelAlias(
            project="occupancy",
            name="forest",
            alias="production",
            model_id=second.id,
            version=2,
            changed_at=moment(3),
        )
        assert holder() == of_second
        of_all = store.read(lambda tx: tx.models.aliases([first.id, second.id, elsewhere.id, new_id()]))
        assert [(alias.alias, alias.model_id) for alias in of_all] == [
            ("canary", first.id),
            ("production", second.id),
            ("production", elsewhere.id),
        ]
        assert store.read(lambda tx: tx.models.aliases([])) == []
        store.write(lambda tx: tx.models.move_alias(_move(None, from_version=2)))
        assert holder() is None
        assert holder("canary") is not None
        assert store.read(lambda tx: tx.models.aliases([second.id])) == []

    def test_every_move_of_an_alias_is_kept(self, store: Store) -> None:
        first, second = _stored(store), _stored(store, version=2)
        begun = [_move(first), _move(first, alias="canary")]
        full = _move(
            second,
            from_version=1,
            actor_name="night",
            firing=new_id(),
            undoes=new_id(),
            reason="better by 0.01",
            numbers={"challenger": 0.91, "champion": 0.9, "margin": 0.0, "evaluation": None},
            at=moment(9),
        )
        moves = [*begun, full, _move(None, from_version=2)]
        beside = [_move(first, name="other"), _move(first, project="occupancy/below")]
        store.write(each([*moves, *beside], lambda tx: tx.models.move_alias))

        def history(**filters: object) -> list[AliasMove]:
            return store.read(lambda tx: tx.models.history("occupancy", "forest", **filters))  # type: ignore[arg-type]

        assert history() == moves[::-1]
        assert history(alias="canary") == [moves[1]]
        assert history(alias="production") == [moves[3], moves[2], moves[0]]
        assert history(after=moves[3].id, limit=2) == [moves[2], moves[1]]

    def test_what_a_model_consists_of_and_tells_is_kept_from_being_collected(self, store: Store) -> None:
        _stored(
            store,
            files=(ModelFile(path="a", size_bytes=1, digest=digest(21)),),
            metadata={"vocabulary": [digest(22)]},
            archived_at=moment(1),
        )
        assert store.read(lambda tx: tx.blobs.named_elsewhere()) >= {raw(digest(21)), raw(digest(22))}
