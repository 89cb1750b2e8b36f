//! Conditions (IAM User Guide, "IAM JSON policy elements: Condition operators").

use crate::compare::{Comparison, Read};
use crate::context::{Context, Value};
use crate::document::{Malformed, Version};
use crate::text::Template;
use crate::tree::Tree;
use crate::truth::Truth;

/// One key under one operator, with its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    key: String,
    set: Option<SetOperator>,
    if_exists: bool,
    test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetOperator {
    ForAllValues,
    ForAnyValue,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    /// Whether the key may be absent, and whether it may be there.
    Null { absent: bool, there: bool },
    /// Whether a value compares with one of these, or with none.
    Values { negated: bool, any: Vec<Comparison> },
}

impl Condition {
    /// All conditions of a statement.
    pub fn parse_all(tree: &Tree, version: Version) -> Result<Vec<Self>, Malformed> {
        let bad = || Malformed::because("Syntax errors in policy.");
        let Tree::Object(operators) = tree else {
            return Err(bad());
        };
        let mut all = Vec::new();
        for (operator, keys) in operators {
            let Tree::Object(keys) = keys else {
                return Err(bad());
            };
            for (key, values) in keys {
                let values = values.scalars().ok_or_else(bad)?;
                all.push(Self::parse(operator, key, &values, version)?);
            }
        }
        Ok(all)
    }

    fn parse(
        operator: &str,
        key: &str,
        values: &[String],
        version: Version,
    ) -> Result<Self, Malformed> {
        let Some(Operator {
            set,
            if_exists,
            tests,
        }) = Operator::parse(operator)
        else {
            let message = format!("Invalid Condition type : {operator}.");
            return Err(Malformed::because(message));
        };
        let test = match tests {
            Tests::Null => Test::null(values)?,
            Tests::Values { negated, read } => {
                let any = values.iter().map(|it| {
                    let template = match version {
                        Version::WithVariables => Template::parse(it)?,
                        Version::WithoutVariables => Template::without_variables(it),
                    };
                    read(template).ok_or_else(|| {
                        Malformed::because(format!("Invalid value `{it}` of {operator}."))
                    })
                });
                Test::Values {
                    negated,
                    any: any.collect::<Result<_, Malformed>>()?,
                }
            }
        };
        Ok(Self {
            key: key.to_owned(),
            set,
            if_exists,
            test,
        })
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn holds(&self, context: &Context) -> Truth {
        match (&self.test, context.get(&self.key)) {
            (_, Value::Unknown) => Truth::unknown(&self.key),
            (Test::Null { absent, .. }, Value::Absent) => (*absent).into(),
            (Test::Null { there, .. }, Value::Values(_)) => (*there).into(),
            (Test::Values { negated, .. }, Value::Absent) => {
                (self.if_exists || self.holds_without_key(*negated)).into()
            }
            (Test::Values { negated, any }, Value::Values(values)) => {
                self.holds_for(values, *negated, any, context)
            }
        }
    }

    /// A key that is not there fulfils what is negated, and a claim about all of its values.
    fn holds_without_key(&self, negated: bool) -> bool {
        match self.set {
            None => negated,
            Some(SetOperator::ForAllValues) => true,
            Some(SetOperator::ForAnyValue) => false,
        }
    }

    fn holds_for(
        &self,
        values: &[String],
        negated: bool,
        any: &[Comparison],
        context: &Context,
    ) -> Truth {
        let fits = |value: &String| {
            let is_one = Truth::any(any.iter().map(|it| it.fits(value, context)));
            if negated { !is_one } else { is_one }
        };
        // A set of nothing but empty texts is none.
        if self.set.is_some() && values.iter().all(String::is_empty) {
            return self.holds_without_key(negated).into();
        }
        match self.set {
            Some(SetOperator::ForAllValues) => Truth::all(values.iter().map(fits)),
            Some(SetOperator::ForAnyValue) => Truth::any(values.iter().map(fits)),
            None => {
                let all = Truth::all(values.iter().map(fits));
                let any = Truth::any(values.iter().map(fits));
                // AWS does not say what an operator for one value makes of several.
                if all == any {
                    all
                } else {
                    Truth::unknown(&self.key)
                }
            }
        }
    }
}

/// An operator with what stands around its name: `ForAllValues:StringLikeIfExists`.
pub(crate) struct Operator {
    set: Option<SetOperator>,
    if_exists: bool,
    tests: Tests,
}

enum Tests {
    Null,
    Values { negated: bool, read: Read },
}

impl Operator {
    /// None when there is no such operator.
    pub fn parse(written: &str) -> Option<Self> {
        let (set, name) = match written.split_once(':') {
            None => (None, written),
            Some(("ForAllValues", name)) => (Some(SetOperator::ForAllValues), name),
            Some(("ForAnyValue", name)) => (Some(SetOperator::ForAnyValue), name),
            Some(_) => return None,
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let tests = match name {
            "Null" if set.is_none() && !if_exists => Tests::Null,
            _ => {
                let (negated, read) = Comparison::named(name)?;
                Tests::Values { negated, read }
            }
        };
        Some(Self {
            set,
            if_exists,
            tests,
        })
    }
}

/// Whether these can be values of an operator: dates, numbers, addresses and the like.
pub(crate) fn are_values_of(operator: &str, values: &Tree) -> bool {
    let (Some(operator), Some(values)) = (Operator::parse(operator), values.scalars()) else {
        return false;
    };
    match operator.tests {
        Tests::Null => Test::null(&values).is_ok(),
        Tests::Values { read, .. } => {
            let mut values = values.iter();
            values.all(|it| read(Template::without_variables(it)).is_some())
        }
    }
}

impl Test {
    fn null(values: &[String]) -> Result<Self, Malformed> {
        let is = |it: &String, word: &str| it.eq_ignore_ascii_case(word);
        if !values.iter().all(|it| is(it, "true") || is(it, "false")) {
            return Err(Malformed::because("Null takes `true` or `false`."));
        }
        Ok(Self::Null {
            absent: values.iter().any(|it| is(it, "true")),
            there: values.iter().any(|it| is(it, "false")),
        })
    }
}
