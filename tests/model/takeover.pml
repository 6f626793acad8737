/*
 * Who goes on with an instance's jobs: the protocol of src/mirror/PROTOCOL,
 * for spin.  One job, RUNS daemons that start one after another or at once, on
 * state directories of their own or on one that an earlier, dead one left.
 * Each step is one request to the bucket or one local write; a daemon may be
 * frozen between any two for as long as it likes, and may die after any.
 *
 * Checkpoints and changes of the record are bits in a byte.  They have nothing
 * to do with each other but the claim, so PART says which are looked at:
 * 1 changes of the record, one a daemon, and old objects removed; 2 two
 * checkpoints of the first daemon, one of the second, and retention; 3 the same
 * and files that they share; 4 changes, and a directory that two more daemons
 * come back to; 5 as 2, and the last checkpoint of a daemon ends the job, which
 * its record says.
 *
 * The store is a good one unless it is
 * STORE_LATE     lists of claims and of bases leave out the newest, and both of
 *                the first two there ever were
 * STORE_HEAD     put-if-absent is a HEAD and, later, a PUT; claims leave gaps,
 *                so that no two claim one epoch
 * STORE_CHANCE   the same, and two do; what is looked at then is that one of
 *                them begins, at most
 * STORE_IGNORES  put-if-absent overwrites and says yes
 *
 * tests/outside/model.sh runs each part as it is, where no assertion may fail,
 * and with a BROKEN_ rule, where one must.
 */
#ifndef PART
#define PART    2
#endif
#if PART == 4
#define RUNS    4               /* daemons */
#define MAY_HAVE(x) ((x) == (r == 1))
#else
#define RUNS    3
#define MAY_HAVE(x) (r >= (x))
#endif
#if PART == 1 || PART == 4
#define CKS     1
#define MAKES(r)   0
#define CHANGES(r) (PART == 1 || (r) < 2)
#define RETAINS(r) 0
#define CLEANS     (PART == 1)
#else
#define CKS     3
#define MAKES(r)   (2 - (r))
#define CHANGES(r) 0
#define RETAINS(r) ((r) == 0)
#define CLEANS     0
#endif
/* Bit 4 + i of a record: the job has ended with checkpoint i. */
#define ENDS    (PART == 5)
#define ENDED   112             /* bits 4 to 6 */
#ifdef BROKEN_AHEAD
#define SAID(rec, there) (rec)
#else
#define SAID(rec, there) ((rec) & (15 | ((there) << 4)))
#endif
#define BIT(i)  (1 << (i))
#define HAS(m, i) (((m) >> (i)) & 1)
/* The highest epoch of a set of 1..4, 0 for none. */
#define TOP(m)  (((m) & 16) -> 4 : (((m) & 8) -> 3 : (((m) & 4) -> 2 : \
		(((m) & 2) -> 1 : 0))))
#if defined(STORE_HEAD) || defined(STORE_CHANCE)
#define BY_HEAD 1
#else
#define BY_HEAD 0
#endif
#if BY_HEAD || defined(STORE_IGNORES)
#define OVERWRITES 1
#else
#define OVERWRITES 0
#endif

/* What is cleaned away behind base n; where lists are late the newest two bases
 * stay, of which a list has one. */
#ifdef STORE_LATE
#define BELOW(n) (BIT(TOP(bases & (BIT(n) - 1))) - 1)
#else
#define BELOW(n) (BIT(n) - 1)
#endif

/*
 * A look: LOST(n) and STILL(n), both of which may be true where lists are late.
 * The next epoch is asked for by name, our claim read.
 */
#ifdef BROKEN_REREAD
#define MINE(n) true
#else
#define MINE(n) (claim_by[n] == r + 1)
#endif
#define LOST(n) (TOP(epochs) > n || !MINE(n))
#ifndef STORE_LATE
#define STILL(n) (!LOST(n))
#elif defined(BROKEN_NEXT)
#define STILL(n) MINE(n)
#else
#define STILL(n) (MINE(n) && !HAS(epochs, n + 1))
#endif

/* --- the bucket ----------------------------------------------------------- */
byte epochs;                    /* epochs/<n> that are there */
byte claim_by[RUNS + 2];        /* daemon + 1 whose claim it is */
byte bases;                     /* base/<n> */
byte base_by[RUNS + 2];         /* directory + 1 that made it */
byte base_rec[RUNS + 1], base_ck[RUNS + 1];
byte recs, rec[RUNS + 1];              /* records/<n>/: the job's newest */
byte cks, files;                /* checkpoint.json; the file beside it */

/* --- what a checkpoint is ------------------------------------------------- */
byte ck_epoch[CKS];            /* in its key; 0: it has none yet */
byte ck_past[CKS];              /* what it stands on, and itself */
byte ck_step[CKS];
byte ck_ref[CKS];               /* whose file it refers to */

/* --- state directories: they stay when a daemon dies ---------------------- */
bool busy[RUNS];                /* a living daemon has it */
byte own[RUNS];                 /* epochs whose base this directory made, and
                                   has been going on from since */
byte local_rec[RUNS];
byte local_ck[RUNS];            /* newest local checkpoint + 1, 0: none */
byte rows[RUNS];                /* remote checkpoints that it knows */
byte unsent[RUNS];              /* committed, not in the bucket yet */

/* --- for the assertions alone --------------------------------------------- */
byte ever;                      /* epochs that were ever made */
byte drawn;                     /* and those that somebody drew */
byte base_dirs;                 /* directories that ever made a base */
byte gone, gone_ck[RUNS + 1];          /* epochs that began, and what they counted */
byte sure_ck[RUNS + 1], sure_rec[RUNS + 1];   /* put while there was no higher epoch */

/* The highest of a list. */
inline list(set, out)
{
#ifdef STORE_LATE
	if
	:: out = TOP(set)
	:: out = TOP(set & ~BIT(TOP(set)))
	:: TOP(ever) <= 2 -> out = 0
	fi
#else
	out = TOP(set)
#endif
}

/* id + 1 of the newest checkpoint of set that is in the bucket, or 0. */
inline newest(set, out)
{
	out = 0;
	q = 0;
	do
	:: q < CKS ->
		if
		:: HAS(set & cks, q) && (out == 0 || ck_step[q] >
		    ck_step[out - 1]) -> out = q + 1
		:: else
		fi;
		q++
	:: else -> break
	od;
	q = 0
}

/* Nothing that an owner which began did not count is counted by another. */
inline assert_no_late_ones()
{
	q = 1;
	do
	:: q <= RUNS ->
		if
		:: HAS(gone, q) ->
			p = 0;
			do
			:: p < CKS ->
				assert(!(HAS(C, p) && q < n && ck_epoch[p] < q
				    && !HAS(gone_ck[q], p)));
				assert(!(HAS(gone_ck[q], p) && n < q &&
				    ck_epoch[p] < n && !HAS(C, p)));
				p++
			:: else -> break
			od
		:: else
		fi;
		q++
	:: else -> break
	od;
	p = 0;
	q = 0
}

/* What was put under a lower epoch while that was the highest is all there: i is
 * what the newest checkpoint stands on. */
inline assert_all_there()
{
	q = 1;
	do
	:: q < n ->
		assert((sure_ck[q] & ~i) == 0);
		assert((sure_rec[q] & ~R) == 0);
		q++
	:: else -> break
	od;
	q = 0
}

inline commit()                 /* a checkpoint, locally */
{
	i = (r == 0 -> made : 2);
	made++;
	ck_past[i] = BIT(i) | (local_ck[d] > 0 -> ck_past[local_ck[d] - 1] : 0);
	ck_step[i] = (local_ck[d] > 0 -> ck_step[local_ck[d] - 1] : 0) + 1;
	ck_ref[i] = i;
	local_ck[d] = i + 1;
	unsent[d] = unsent[d] | BIT(i);
	if
	:: ENDS && made == MAKES(r) -> local_rec[d] = local_rec[d] | BIT(4 + i)
	:: else
	fi
}

/* Who has ended has his last checkpoint: it counts, and it is there. */
inline assert_ended_with_bytes()
{
	q = 0;
	do
	:: q < CKS ->
		assert(!HAS(R, 4 + q) || (HAS(C, q) && HAS(cks, q) &&
		    HAS(files, ck_ref[q])));
		q++
	:: else -> break
	od;
	q = 0
}

#ifdef BROKEN_SHARE
#define MAY_SHARE(j) HAS(rows[d], j)
#else
#define MAY_SHARE(j) (HAS(rows[d], j) && (ck_epoch[j] == n || j + 1 == begun))
#endif

active [RUNS] proctype daemon()
{
	byte r = _pid, d, n, b, p, q, i;
	byte R, C;              /* records and checkpoints of the base to be */
	byte made, changed;     /* what this daemon added */
	byte begun;             /* newest checkpoint + 1 when it began */
	byte asked, may;        /* to be deleted */
	bool alone, seen;
#ifdef BROKEN_EARLY
	bool permit;
#endif

start:
	atomic {
		/* A directory that nobody has: an earlier one's, or a new one;
		 * new ones in the order of daemons, as they are alike. */
		if
		:: MAY_HAVE(0) && !busy[0] -> d = 0
		:: MAY_HAVE(1) && !busy[1] -> d = 1
		:: MAY_HAVE(2) && !busy[2] -> d = 2
		:: goto end
		fi;
		busy[d] = true
	}

	/* The bucket cannot be reached: a directory with jobs of its own goes
	 * on alone; nothing has a key yet. */
	atomic {
		if
		:: own[d] != 0 ->
			d_step {
				alone = true;
				if
				:: MAKES(r) > 0 && (local_rec[d] & ENDED) == 0
				    -> commit()
				:: else
				fi;
				if
				:: CHANGES(r) > 0 ->
					local_rec[d] = local_rec[d] | BIT(r);
					changed = 1
				:: else
				fi
			}
		:: true
		fi
	}

claim:
	atomic {
		if
		:: goto die
		:: true
		fi;
#if defined(STORE_IGNORES) && !defined(BROKEN_PROBE)
		goto die;               /* the probe; what is trained is its own */
#endif
		list(epochs, n);
		list(bases, p);
		n = (p > n -> p : n) + 1;
		p = 0;
#if defined(STORE_HEAD) && !defined(BROKEN_GAPS)
		/* Gaps of random length: nobody draws the same one. */
		do
		:: HAS(drawn, n) -> n++
		:: else -> break
		od;
		drawn = drawn | BIT(n);
#endif
#ifdef STORE_LATE
		do
		:: HAS(epochs, n) -> n++
		:: else -> break
		od;
#endif
#ifdef BROKEN_ORDER
		b = TOP(bases)
#endif
	}
#if BY_HEAD
	atomic {
		if
		:: goto die
		:: HAS(epochs, n) -> goto claim
		:: !HAS(epochs, n)
		fi
	}
#endif
	atomic {
		if
		:: goto die
#if !OVERWRITES
		:: HAS(epochs, n) -> goto claim
		:: !HAS(epochs, n) ->
#else
		:: true ->
#endif
#ifdef BROKEN_OWNER
			/* "whoever made the highest epoch has the truth" */
			seen = HAS(own[d], TOP(epochs));
			own[d] = own[d] | BIT(n);
#endif
			epochs = epochs | BIT(n);
			claim_by[n] = r + 1;
			ever = ever | BIT(n)
		fi
	}

read:
	atomic {
		if
		:: goto die
		:: true
		fi;
#ifndef BROKEN_ORDER
		list(bases, b)
#endif
	}
#if defined(STORE_LATE) && !defined(BROKEN_NAMES)
	/* Those below n that the list leaves out are asked for by name. */
	p = n - 1;
	do
	:: atomic {
		p > b ->
		if
		:: HAS(bases, p) -> b = p
		:: else -> p--
		fi
	   }
	:: p <= b -> break
	od;
	p = 0;
#endif
	atomic {
		if
		:: goto die
		:: true
		fi;
#ifndef BROKEN_OWNER
		seen = (HAS(own[d], b) && base_by[b] == d + 1);
#endif
		seen = (seen || b == 0);
		if
		:: seen ->
			/* Ours: what we have is the truth; also what is still
			 * on its way under an older epoch counts, once it is
			 * there. */
			R = SAID(local_rec[d], rows[d] & cks);
#ifdef BROKEN_UNSENT
			C = rows[d];
#else
			C = rows[d];
			q = 0;
			do
			:: q < CKS ->
				if
				:: HAS(unsent[d], q) && ck_epoch[q] != 0 ->
					C = C | BIT(q)
				:: else
				fi;
				q++
			:: else -> break
			od;
			q = 0;
#endif
			own[d] = own[d] | BIT(n);
			goto base
		:: else
		fi;
		if
		:: alone -> goto die    /* somebody has taken over meanwhile */
		:: else
		fi
	}
	atomic {
		if
		:: goto die
		:: HAS(bases, b) ->
			R = base_rec[b];
			C = base_ck[b]
		:: !HAS(bases, b) -> goto read  /* cleaned behind a newer */
		fi
	}
#ifndef BROKEN_LOOK
	atomic {
		if
		:: goto die
		:: R = R | (HAS(recs, b) -> rec[b] : 0)
		fi
	}
#endif
	atomic {
		if
		:: goto die
		:: true
		fi;
		d_step {
			q = 0;
			do
			:: q < CKS ->
				if
#ifdef BROKEN_BASE
				:: HAS(cks, q) && ck_epoch[q] < n ->
#else
				:: HAS(cks, q) && ck_epoch[q] == b ->
#endif
					C = C | BIT(q)
				:: else
				fi;
				q++
			:: else -> break
			od;
#ifdef BROKEN_LOOK
			q = 0
		}
	}
	atomic {
		if
		:: goto die
		:: R = R | (HAS(recs, b) -> rec[b] : 0)
		fi;
		d_step {
#endif
			/* Into the directory: what it had is set aside. */
			local_rec[d] = R;
			rows[d] = C & cks;
			unsent[d] = 0;
			newest(C, i);
			local_ck[d] = i;
			own[d] = BIT(n)
		}
	}

base:
#if BY_HEAD && !defined(BROKEN_BLIND)
	atomic {
		if
		:: goto die
		:: HAS(bases, n) -> goto die
		:: !HAS(bases, n)
		fi
	}
#endif
	atomic {
		if
		:: goto die
#if !OVERWRITES
		:: HAS(bases, n) -> goto die
		:: !HAS(bases, n) ->
#else
		:: true ->
#endif
			bases = bases | BIT(n);
			base_by[n] = d + 1;
			base_rec[n] = R;
			base_ck[n] = C;
			base_dirs = base_dirs | BIT(d)
		fi
	}
#ifndef BROKEN_CHECK
	atomic {
		if
		:: goto die
		:: LOST(n) -> goto die
		:: STILL(n)
		fi
	}
#endif
	/* It begins. */
	atomic {
		if
		:: goto die
		:: true
		fi;
		d_step {
			assert(!HAS(gone, n));          /* one owner of an epoch */
#ifndef STORE_CHANCE
			assert_no_late_ones();
#endif
			gone = gone | BIT(n);
			gone_ck[n] = C;
			/* A directory that was always alone has lost nothing
			 * that it had acknowledged. */
#ifndef STORE_CHANCE
			assert(base_dirs != BIT(d) ||
			    (local_rec[d] & ~R & ~ENDED) == 0);
#endif
			/* What was committed without an epoch gets this one. */
			q = 0;
			do
			:: q < CKS ->
				if
				:: HAS(unsent[d], q) && ck_epoch[q] == 0 ->
					ck_epoch[q] = n
				:: else
				fi;
				q++
			:: else -> break
			od;
			q = 0
		}
	}
	/* The newest checkpoint comes from the bucket. */
	atomic {
		if
		:: goto die
		:: true
		fi;
		d_step {
			newest(C, begun);
#ifndef STORE_CHANCE
			if
			:: TOP(ever) == n ->
				i = (begun > 0 -> ck_past[begun - 1] : 0);
				assert_all_there();
				assert_ended_with_bytes();
				assert(begun == 0 ||
				    HAS(files, ck_ref[begun - 1]))
			:: else
			fi;
#endif
			i = 0;
			b = 0;
			R = 0;
			C = 0;
			seen = false
		}
	}

work:
	do
	:: goto die
	:: changed < CHANGES(r) ->                  /* a person's word, acknowledged */
		atomic {
			local_rec[d] = local_rec[d] | BIT(r);
			changed = 1
		}
	:: (HAS(recs, n) -> rec[n] : base_rec[n]) != SAID(local_rec[d],
	    rows[d] & cks) ->
		d_step {
			recs = recs | BIT(n);
			rec[n] = SAID(local_rec[d], rows[d] & cks);
			if
			:: TOP(ever) == n -> sure_rec[n] = rec[n]
			:: else
			fi
		}
	:: made < MAKES(r) && (local_rec[d] & ENDED) == 0 ->
		/* the trainer commits */
		atomic {
			d_step {
				commit();
				ck_epoch[i] = n;
			}
#if PART == 3
			if                      /* one file as before? */
			:: MAY_SHARE(0) -> ck_ref[i] = ck_ref[0]
			:: MAY_SHARE(1) -> ck_ref[i] = ck_ref[1]
			:: MAY_SHARE(2) -> ck_ref[i] = ck_ref[2]
			:: true
			fi;
#endif
			i = 0
		}
	:: unsent[d] != 0 ->            /* ... and it goes up, oldest first */
		d_step {
			i = 0;
			do
			:: HAS(unsent[d], i) -> break
			:: else -> i++
			od;
			unsent[d] = unsent[d] & ~BIT(i);
			rows[d] = rows[d] | BIT(i);
			cks = cks | BIT(i);
			files = files | (ck_ref[i] == i -> BIT(i) : 0);
			if
			:: TOP(ever) == n -> sure_ck[n] = sure_ck[n] | BIT(i)
			:: else
			fi;
			i = 0
		}
	:: RETAINS(r) && asked == 0 && may == 0 && rows[d] != 0 ->    /* retention: all but the newest */
		d_step {
			newest(rows[d], i);
			q = 0;
			do
			:: q < CKS ->
				if
				:: i > 0 && HAS(rows[d], q) && q + 1 != i &&
				    HAS(cks, q) -> asked = asked | BIT(q)
				:: else
				fi;
				q++
			:: else -> break
			od;
			q = 0;
			i = 0
		}
#ifdef BROKEN_EARLY
	:: RETAINS(r) && !permit ->
		d_step {
			permit = (TOP(epochs) == n)
		}
#endif
	:: asked != 0 ->                /* ... may it?  the question comes after */
		atomic {
#ifdef BROKEN_EARLY
			if
			:: !permit -> goto die
			:: else -> permit = false
			fi;
#elif !defined(BROKEN_GUARD)
			if
			:: LOST(n) -> goto die
			:: STILL(n)
			fi;
#endif
			may = asked;
			asked = 0
		}
	:: may != 0 ->
		d_step {
			i = 0;
			do
			:: HAS(may, i) -> break
			:: else -> i++
			od;
			may = may & ~BIT(i);
			rows[d] = rows[d] & ~BIT(i);
			cks = cks & ~BIT(i);
			/* Its file stays for those that refer to it. */
			q = 0;
			seen = false;
			do
			:: q < CKS ->
				if
				:: HAS(rows[d] | unsent[d], q) &&
				    ck_ref[q] == i -> seen = true
				:: else
				fi;
				q++
			:: else -> break
			od;
			q = 0;
			files = (seen -> files : files & ~BIT(i));
			seen = false;
			i = 0
		}
	:: CLEANS && ((epochs | bases | recs) & BELOW(n)) != 0 ->
		d_step {                /* cleaning behind the own base */
			epochs = epochs & ~BELOW(n);
			bases = bases & ~BELOW(n);
			recs = recs & ~BELOW(n)
		}
	:: LOST(n) -> goto die          /* it looked, and stops */
	od;

die:
	/* What it had in mind is gone, and makes no states any more. */
	atomic {
		busy[d] = false;
		d = 0; n = 0; b = 0; p = 0; q = 0; i = 0; R = 0; C = 0;
		made = 0; changed = 0; begun = 0; asked = 0; may = 0;
		alone = false; seen = false
	}
end:
	skip
}
